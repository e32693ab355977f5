"""Generated images and recordings of log-normal size, compressed. They are the same in every run."""

import io
import math
import random
from pathlib import Path
from typing import Any

from loadtests.traffic.log_normal import LogNormal

SEED = 20
SIDE = LogNormal(median=480, spread=0.6, min=96, max=1600)  # pixels of an image's longer side
SECONDS = LogNormal(median=2.0, spread=0.7, min=0.4, max=12.0)  # of a recording
SAMPLING_RATE = 44_100  # Hz: not the models' rate, so that resampling is part of the work


def write_images(folder: Path, count: int) -> list[Path]:
    """JPEG files, most of them in landscape format."""
    rng = random.Random(SEED)
    paths = []
    for number in range(count):
        longer = SIDE.count(rng)
        shorter = round(longer * rng.uniform(0.55, 1))
        size = (shorter, longer) if rng.random() < 0.3 else (longer, shorter)
        paths.append(folder / f"{number:04}.jpg")
        paths[-1].write_bytes(_jpeg(*size, seed=number))
    return paths


def write_recordings(folder: Path, count: int) -> list[Path]:
    """FLAC files."""
    rng = random.Random(SEED)
    paths = []
    for number in range(count):
        paths.append(folder / f"{number:04}.flac")
        paths[-1].write_bytes(_flac(SECONDS.sample(rng), seed=number))
    return paths


def _jpeg(width: int, height: int, seed: int) -> bytes:
    """Soft shapes with grain: decoding takes about as long as for a photograph."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    shapes = small.resize((width, height), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 6, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(shapes) + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _flac(seconds: float, seed: int) -> bytes:
    """A voice-like tone with noise."""
    import av
    import numpy as np

    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    pitch = 140 + 40 * np.sin(2 * math.pi * 1.7 * times)
    voice: Any = sum(np.sin(2 * math.pi * pitch * times * overtone) / overtone for overtone in (1, 2, 3, 5))
    loud = 0.5 + 0.5 * np.sin(2 * math.pi * 3 * times)
    samples = (6000 * voice * loud + rng.normal(0, 200, len(times))).clip(-32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLING_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.rate = SAMPLING_RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return buffer.getvalue()
