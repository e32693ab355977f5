"""Long recordings made of sentences that were read out, whose words and times are known.

The sentences are LibriVox's, of Debian's package `pocketsphinx-testdata`.
"""

import random
import re
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SENTENCES = Path("/usr/share/pocketsphinx/test/data/librivox")
RATE = 16_000  # Hz
QUIET = 0.01  # of full scale: where a sentence begins
FAINT = 1e-4  # of full scale: the noise of a silent room
CORRECTIONS = {"more a amiable": "more amiable"}  # words of the transcription that nobody speaks
_LINE = re.compile(r"<s> (?P<words>.*) </s> \((?P<name>.*)\)")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that was read out: its samples, its words, and the seconds at which speech begins and ends in it."""

    samples: "np.ndarray[Any, Any]"
    words: tuple[str, ...]
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Shape:
    """How a recording is put together.

    Attributes:
        order: numbers of the sentences; None for a shuffled order of `count` sentences.
        count: number of sentences.
        pauses: seconds between them, in turn.
        lead: seconds of silence before the first.
        tail: seconds of silence after the last.
        noise: standard deviation of noise under all of it, of full scale.
        is_trimmed: the silence around each sentence is cut off.
    """

    order: tuple[int, ...] | None = None
    count: int = 20
    pauses: tuple[float, ...] = (1.0,)
    lead: float = 0.0
    tail: float = 0.0
    noise: float = FAINT
    is_trimmed: bool = False


SHAPES = {
    "short pauses": Shape(pauses=(0.5, 1, 0.7, 2, 1.5)),
    "pauses of 1 to 4 s": Shape(pauses=(1, 4, 2, 3)),
    "pauses of 3 to 20 s": Shape(count=12, pauses=(5, 8, 12, 20, 3)),
    "no pauses": Shape(pauses=(0,), is_trimmed=True),
    "one sentence four times": Shape(order=(0,) * 4, pauses=(2,)),
    "repeats": Shape(order=(0, 1, 0, 1, 2, 0, 1, 0, 1, 2, 3, 4, 3, 4)),
    "silence at the end": Shape(count=10, pauses=(1, 0.5), tail=60),
    "silence at the start": Shape(count=8, pauses=(2, 0.5), lead=25),
    "noise under it": Shape(count=15, pauses=(0.5, 2, 4, 1), noise=0.01),
}


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording and what is true of it.

    Attributes:
        samples: `[samples]`, int16, at `RATE`.
        words: that are spoken.
        starts: for each sentence the number of its first word, and the second at which it begins.
    """

    samples: "np.ndarray[Any, Any]"
    words: tuple[str, ...]
    starts: tuple[tuple[int, float], ...]

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE

    def write(self, path: Path) -> None:
        """Write it as a WAV file."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(self.samples.astype("<i2").tobytes())


def sentences(folder: Path = SENTENCES) -> list[Sentence]:
    """The sentences of the package.

    Raises:
        FileNotFoundError: it is not installed.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing; install Debian's package pocketsphinx-testdata")
    found = []
    for line in (folder / "transcription").read_text(encoding="utf-8").splitlines():
        for written, spoken in CORRECTIONS.items():
            line = line.replace(written, spoken)
        if (match := _LINE.match(line.strip())) is not None:
            with wave.open(str(folder / f"{match['name']}.wav"), "rb") as file:
                samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
            loud = np.nonzero(_loudness(samples) > QUIET)[0]
            begin, end = (float(frame) * 0.02 for frame in (loud[0], loud[-1] + 1))
            found.append(Sentence(samples, tuple(match["words"].split()), begin, end))
    return found


def build(shape: Shape, parts: Sequence[Sentence], seed: int = 0) -> Recording:
    """A recording of a shape; the seed shuffles the sentences and makes the noise."""
    order = shape.order if shape.order is not None else _shuffled(len(parts), shape.count, seed)
    pieces: list[np.ndarray[Any, Any]] = [np.zeros(round(shape.lead * RATE), np.float32)]
    words: list[str] = []
    starts: list[tuple[int, float]] = []
    for number, index in enumerate(order):
        sentence = parts[index]
        samples, begin = sentence.samples, sentence.begin
        if shape.is_trimmed:
            first = max(0, round((begin - 0.05) * RATE))
            samples, begin = samples[first : round((sentence.end + 0.05) * RATE)], begin - first / RATE
        starts.append((len(words), sum(map(len, pieces)) / RATE + begin))
        words += sentence.words
        pause = shape.pauses[number % len(shape.pauses)] if number < len(order) - 1 else shape.tail
        pieces += [samples, np.zeros(round(pause * RATE), np.float32)]
    silent: np.ndarray[Any, Any] = np.concatenate(pieces)
    sound = silent + np.random.default_rng(seed).normal(0, shape.noise, len(silent))
    return Recording((np.clip(sound, -1, 1) * 32767).astype(np.int16), tuple(words), tuple(starts))


def _shuffled(sentences: int, count: int, seed: int) -> list[int]:
    """Every sentence once, in a new order each time, until there are enough."""
    chance, order = random.Random(seed), list[int]()
    while len(order) < count:
        order += chance.sample(range(sentences), sentences)
    return order[:count]


def _loudness(samples: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Root mean square of every 20 ms, `[frames]`."""
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    loudness: np.ndarray[Any, Any] = np.sqrt((frames**2).mean(axis=1))
    return loudness
