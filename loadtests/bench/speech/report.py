"""The report of `speech`: a row for each shape and part, and for each part all shapes together."""

from collections.abc import Sequence
from dataclasses import asdict

from loadtests.bench.speech.benchmark import TRANSFORMERS, Measurements, Plan, Result
from loadtests.report.table import Cell, TableReport
from loadtests.report.targets import Target

COLUMNS = ("", "words", "lost", "added", "wrong", "WER %", "starts", "worst start s", "in order", "audio s/s")
LATEST_START_S = 0.5
OURS = "speech"
_NOTES = [
    "Starts: segments that begin with a sentence; worst start: the largest distance of one from its sentence. "
    "In order: recordings of which every segment has its times and begins when the one before has ended.",
]


def report(plan: Plan, done: Measurements) -> TableReport:
    made = TableReport("speech", asdict(plan), COLUMNS, notes=_NOTES)
    for part, shapes in done.results.items():
        made.rows += [_row(f"{part}: {shape}", results) for shape, results in shapes.items()]
        made.rows.append(_row(f"{part}: all", [result for results in shapes.values() for result in results]))
    made.targets = _targets(done)
    made.rounds = {f"{part}: {shape}": each for part, shapes in done.results.items() for shape, each in shapes.items()}
    return made


def _row(name: str, results: Sequence[Result]) -> tuple[Cell, ...]:
    scores = [result.score for result in results]
    words, lost, added, wrong = (
        sum(getattr(score, name) for score in scores) for name in ("words", "lost", "added", "wrong")
    )
    starts = [start for score in scores for start in score.starts]
    ordered = f"{sum(score.is_ordered for score in scores)} of {len(scores)}"
    speed = sum(result.audio_s for result in results) / sum(result.wall_s for result in results)
    rate = 100 * (lost + added + wrong) / words
    return (name, words, lost, added, wrong, rate, len(starts), max(starts, default=None), ordered, speed)


def _targets(done: Measurements) -> list[Target]:
    """No more words lost than by transformers, no more errors on any shape; starts, order and empty segments."""
    ours, theirs = done.results.get(OURS), done.results.get(TRANSFORMERS)
    if not ours:
        return []
    scores = [result.score for results in ours.values() for result in results]
    starts = [start for score in scores for start in score.starts]
    targets = [
        Target("worst start, s", LATEST_START_S, max(starts, default=float("nan")), at_most=True),
        Target("recordings out of order", 0, sum(not score.is_ordered for score in scores), at_most=True),
        Target("empty segments", 0, sum(score.empty for score in scores), at_most=True),
    ]
    for shape, results in ours.items():
        if theirs and shape in theirs:
            targets += [
                Target(f"words lost, {shape}", _lost(theirs[shape]), _lost(results), at_most=True),
                Target(f"WER, {shape}", _error_rate(theirs[shape]), _error_rate(results), at_most=True),
            ]
    return targets


def _lost(results: Sequence[Result]) -> int:
    return sum(result.score.lost for result in results)


def _error_rate(results: Sequence[Result]) -> float:
    scores = [result.score for result in results]
    return sum(score.lost + score.added + score.wrong for score in scores) / sum(score.words for score in scores)
