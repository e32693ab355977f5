"""`speech`: long recordings with known words, in each long form of this service, and in transformers' own.

The recordings are read one at a time: what is measured is what is written, and how fast one caller gets it.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from loadtests.bench.servers.start import service
from loadtests.bench.speech.offline import speech_offline
from loadtests.bench.speech.recordings import SHAPES, Recording, build, sentences
from loadtests.bench.speech.score import Score, Segment, score
from loadtests.report.progress import Log

MODEL = "embedded:whisper-tiny-en"
TASK = "speech-recognition-seq2seq"
TRANSFORMERS = "transformers"
LONG_FORMS = ("speech", "sequential", "overlap")
PARTS = (*LONG_FORMS, TRANSFORMERS)
TIMEOUT_S = 600.0

Reader = Callable[[Path], tuple[list[Segment], float]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        rounds: number of times that everything is measured, each with recordings in another order.
        shapes: of `SHAPES`.
        parts: of `PARTS`.
    """

    rounds: int = 1
    shapes: tuple[str, ...] = tuple(SHAPES)
    parts: tuple[str, ...] = PARTS


QUICK: dict[str, Any] = {"rounds": 1, "shapes": ("pauses of 3 to 20 s", "one sentence four times")}


@dataclass(frozen=True, slots=True)
class Result:
    """One recording read once: its score, its length, and the seconds that it took."""

    score: Score
    audio_s: float
    wall_s: float


@dataclass(slots=True)
class Measurements:
    """By part and shape."""

    results: dict[str, dict[str, list[Result]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))


def run(plan: Plan, log: Log) -> Measurements:
    """Measure all parts of the plan."""
    done, parts = Measurements(), sentences()
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        recordings: dict[Path, tuple[str, Recording]] = {}
        for seed in range(plan.rounds):
            for number, shape in enumerate(plan.shapes):
                path = folder / f"{seed}-{number}.wav"
                recordings[path] = shape, build(SHAPES[shape], parts, seed)
                recordings[path][1].write(path)
        ours = [part for part in plan.parts if part != TRANSFORMERS]
        if ours:
            with service(folder, MODEL, task=TASK, limits={"request_timeout_s": TIMEOUT_S}) as server:
                for part in ours:
                    _measure(part, _over_http(server.port, part), recordings, done, log)
        if TRANSFORMERS in plan.parts:
            with speech_offline(MODEL) as offline:
                _measure(TRANSFORMERS, offline.run, recordings, done, log)
    return done


def _measure(
    part: str, read: Reader, recordings: dict[Path, tuple[str, Recording]], done: Measurements, log: Log
) -> None:
    for path, (shape, recording) in recordings.items():
        segments, seconds = read(path)
        result = Result(score(recording.words, recording.starts, segments), recording.seconds, seconds)
        done.results[part][shape].append(result)
        rate = f"word error rate {result.score.word_error_rate:.1%}, {result.score.lost} lost"
        log(f"{part}, {shape}: {rate}, {recording.seconds / seconds:.1f} s of audio per second")


def _over_http(port: int, long_form: str) -> Reader:
    """Reads recordings by this service, in one of its long forms."""

    def read(path: Path) -> tuple[list[Segment], float]:
        began = time.monotonic()
        with path.open("rb") as file:
            response = httpx.post(
                f"http://127.0.0.1:{port}/tasks/{TASK}",
                files={"file": file},
                data={"return_timestamps": "true", "long_form": long_form},
                timeout=TIMEOUT_S,
            )
        response.raise_for_status()
        seconds = time.monotonic() - began
        chunks = response.json()["chunks"]
        return [Segment(each["timestamp"][0], each["timestamp"][1], each["text"]) for each in chunks], seconds

    return read
