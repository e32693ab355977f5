"""Pictures and recordings as people send them: of all sizes and lengths, compressed. The same ones every time."""

import io
import math
import random
from pathlib import Path
from typing import Any

from loadtests.traffic.log_normal import LogNormal

SEED = 20
SIDE = LogNormal(median=480, spread=0.6, least=96, most=1600)  # pixels of a picture's longer side
SECONDS = LogNormal(median=2.0, spread=0.7, least=0.4, most=12.0)  # of a recording
RECORDED_AT = 44_100  # Hz: not what the models read, so that resampling is part of the work


def pictures(folder: Path, count: int) -> list[Path]:
    """JPEGs of log-normal size, most of them wider than high."""
    draw = random.Random(SEED)
    paths = []
    for number in range(count):
        longer = SIDE.count(draw)
        shorter = round(longer * draw.uniform(0.55, 1))
        size = (shorter, longer) if draw.random() < 0.3 else (longer, shorter)
        paths.append(folder / f"{number:04}.jpg")
        paths[-1].write_bytes(_jpeg(*size, seed=number))
    return paths


def recordings(folder: Path, count: int) -> list[Path]:
    """FLAC files of log-normal length."""
    draw = random.Random(SEED)
    paths = []
    for number in range(count):
        paths.append(folder / f"{number:04}.flac")
        paths[-1].write_bytes(_flac(SECONDS.draw(draw), seed=number))
    return paths


def _jpeg(width: int, height: int, seed: int) -> bytes:
    """Soft shapes with grain over them: about as hard to decode as a photograph."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(seed)
    shapes = Image.fromarray(noise.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    grain = noise.normal(0, 6, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(shapes) + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _flac(seconds: float, seed: int) -> bytes:
    """A voice-like tone with noise."""
    import av
    import numpy as np

    noise = np.random.default_rng(seed)
    moments = np.arange(int(seconds * RECORDED_AT)) / RECORDED_AT
    pitch = 140 + 40 * np.sin(2 * math.pi * 1.7 * moments)
    voice: Any = sum(np.sin(2 * math.pi * pitch * moments * overtone) / overtone for overtone in (1, 2, 3, 5))
    loud = 0.5 + 0.5 * np.sin(2 * math.pi * 3 * moments)
    samples = (6000 * voice * loud + noise.normal(0, 200, len(moments))).clip(-32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RECORDED_AT, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.rate = RECORDED_AT
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return buffer.getvalue()
