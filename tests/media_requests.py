"""Pictures and recordings for the tests of the media tasks, and how a task answers several requests together."""

import io
import wave
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from deployments.media.content import Media
from tests.checkpoints import run_rows
from tests.media_checkpoints import RATE

# A pixel; smaller than any model reads; larger; tall, wide and square.
SIZES = ((1, 1), (7, 5), (32, 32), (40, 33), (200, 20), (30, 170), (64, 64), (120, 90), (33, 31), (300, 200), (5, 90))
# Seconds: from the shortest that every family reads on, many of them near each other, two equal.
SECONDS = (0.05, 0.06, 0.3, 0.31, 0.55, 0.56, 1.0, 1.0, 1.07, 2.1)


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Blurred noise with a gradient, different for each seed."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (max(1, height // 4), max(1, width // 4), 4), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def png(image: Image.Image, **options: Any) -> Media:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return Media(buffer.getvalue())


def pictures() -> list[Image.Image]:
    return [picture(*size, seed=seed) for seed, size in enumerate(SIZES)]


def recording(samples: int, seed: int = 0) -> np.ndarray:
    """Tones that change about ten times a second, as syllables do, with some noise: `[samples]`, on 16 bits' grid."""
    random = np.random.default_rng(seed)
    pieces = samples // (RATE // 10) + 1
    pitch = np.repeat(random.uniform(80, 3000, pieces), RATE // 10)[:samples]
    loudness = np.repeat(random.uniform(0.02, 0.6, pieces), RATE // 10)[:samples]
    sound = loudness * np.sin(2 * np.pi * np.cumsum(pitch) / RATE) + random.normal(0, 0.02, samples)
    return (np.clip(sound, -1, 1) * 32767).astype(np.int16).astype(np.float32) / np.float32(32768)


def wav(samples: np.ndarray, rate: int = RATE) -> Media:
    """A WAV file with exactly these samples, if they lie on 16 bits' grid."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32768).astype("<i2").tobytes())
    return Media(buffer.getvalue())


def recordings() -> list[np.ndarray]:
    return [recording(int(seconds * RATE), seed) for seed, seconds in enumerate(SECONDS)]


def ask(task: Any, media: Media, **fields: Any) -> Any:
    """The answer to one request alone."""
    return ask_together(task, [task.request.model_validate({"inputs": media, **fields})])[0]


def ask_together(task: Any, requests: Sequence[Any]) -> list[Any]:
    """The answers to requests whose rows all wait at once."""
    prepared = [task.preprocess(request) for request in requests]
    places: dict[Hashable, list[int]] = {}
    for place, item in enumerate(prepared):
        places.setdefault(item.params, []).append(place)
    answers: list[Any] = [None] * len(requests)
    for params, group in places.items():
        outputs = iter(run_rows(task, [row for place in group for row in prepared[place].rows], params))
        for place in group:
            own = [next(outputs) for _ in prepared[place].rows]
            answers[place] = task.postprocess(requests[place], prepared[place], own)
    return answers
