"""What a model is asked: the user's own inputs, or texts, pictures and recordings that are the same in every run."""

import base64
import io
import json
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.errors import LoadError
from deployments.text.task import filler

NAME_LENGTH = 60  # characters of an input that a message shows

SENTENCES = (
    "Paris is the capital of France, and Berlin is the capital of Germany.",
    "My name is Wolfgang and I live in Berlin; her name is Clara and she works for the railway in Vienna.",
    "She sells sea shells, doesn't she? They sold 1,250 of them in 1987 for $3.75 each!",
    "What a wonderful film: I laughed, I cried, I would watch it again.",
    "Never again.",
    "Crème brûlée, naïve café, Zürich and Łódź 🙂 🎉 👩‍🚀",
    "שלום עולם, מה שלומך היום? مرحبا بالعالم، كيف حالك اليوم؟",
    "我喜欢吃苹果。 東京は日本の首都です。 Привет, мир!",
)
WORDS = (1, 8, 24, 60, 1000)  # of the other texts; the last is longer than most models read
SIZES = ((32, 32), (64, 64), (40, 33), (120, 90), (31, 170), (300, 200), (33, 31), (7, 5))  # pixels of the pictures
SECONDS = (0.3, 0.31, 0.55, 1.0, 1.03, 1.9, 2.1, 3.3)  # of the recordings


@dataclass(frozen=True, slots=True)
class Case:
    """One input.

    Attributes:
        name: for messages, at most `NAME_LENGTH` characters.
        inputs: the request's `inputs`, as JSON has them.
    """

    name: str
    inputs: Any


def shortened(text: str) -> str:
    """The text on one line, cut to `NAME_LENGTH` characters."""
    line = " ".join(text.split())
    return line if len(line) <= NAME_LENGTH else f"{line[: NAME_LENGTH - 1]}…"


def text_cases(lines: Sequence[str] | None, build: Callable[[str], Any] = lambda text: text) -> list[Case]:
    """A case for each line, or for each of our own texts.

    Args:
        lines: of the user's file; a line that is a JSON object is the `inputs` itself.
        build: makes the `inputs` of a text.
    """
    texts = [*SENTENCES, *map(filler, WORDS)] if lines is None else lines
    return [Case(shortened(text), _object(text) or build(text)) for text in texts]


def _object(line: str) -> dict[str, Any] | None:
    """The JSON object that a line is, or None."""
    if not line.startswith("{"):
        return None
    try:
        read = json.loads(line)
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def picture_cases(paths: Sequence[str] | None) -> list[Case]:
    """A case for each image file, or for each of our own pictures.

    Raises:
        LoadError: a file cannot be read.
    """
    if paths is not None:
        return [_file(path) for path in paths]
    return [_media(f"picture of {width} x {height}", _picture(width, height)) for width, height in SIZES]


def recording_cases(paths: Sequence[str] | None, rate: int) -> list[Case]:
    """A case for each audio file, or for each of our own recordings, which are made at `rate` samples per second.

    Raises:
        LoadError: a file cannot be read.
    """
    if paths is not None:
        return [_file(path) for path in paths]
    return [_media(f"recording of {seconds:g} s", _recording(round(seconds * rate), rate)) for seconds in SECONDS]


def _file(path: str) -> Case:
    try:
        return _media(shortened(path), Path(path).read_bytes())
    except OSError as error:
        raise LoadError(f"--inputs: {path} cannot be read ({error.strerror})") from None


def _media(name: str, data: bytes) -> Case:
    return Case(name, base64.b64encode(data).decode("ascii"))


def _picture(width: int, height: int) -> bytes:
    """Blurred noise, as a PNG file."""
    import numpy as np
    from PIL import Image

    coarse = (max(1, height // 4), max(1, width // 4), 3)
    pixels = np.random.default_rng(width * height).integers(0, 256, coarse, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR).save(buffer, "PNG")
    return buffer.getvalue()


def _recording(samples: int, rate: int) -> bytes:
    """Tones that change ten times a second, with some noise, as a WAV file."""
    import numpy as np

    random = np.random.default_rng(samples)
    pieces = samples // (rate // 10) + 1
    pitch = np.repeat(random.uniform(80, 3000, pieces), rate // 10)
    loudness = np.repeat(random.uniform(0.02, 0.6, pieces), rate // 10)
    tone = (loudness * np.sin(2 * np.pi * np.cumsum(pitch) / rate))[:samples]
    sound = np.clip(tone + random.normal(0, 0.02, samples), -1, 1)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    return buffer.getvalue()
