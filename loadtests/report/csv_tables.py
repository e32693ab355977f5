"""The figures of a load test as CSV: what callers saw, and what the service said by model."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from loadtests.report.figures import PERCENTILES, Seen, Stretch
from loadtests.service.metrics import PARTS

CALLERS, MODELS = "callers.csv", "models.csv"
_CALLER_COLUMNS = (
    *("window", "begin_s", "end_s", "rate", "caller", "requests", "offered_per_s", "answered_per_s"),
    *("refused_share", "lost_share", "sent_late_p99_s"),
    *(f"{name}p{percent}_s" for name in ("", "first_token_", "token_") for percent in PERCENTILES),
)
_MODEL_COLUMNS = (
    *("window", "rate", "model", "answered", "mean_batch_rows", "mean_padding_ratio", "mean_request_s"),
    *(f"{part}_share" for part in PARTS),
)


def write_tables(stretches: Sequence[Stretch], folder: Path) -> None:
    _write(folder / CALLERS, _CALLER_COLUMNS, _caller_rows(stretches))
    _write(folder / MODELS, _MODEL_COLUMNS, _model_rows(stretches))


def _caller_rows(stretches: Sequence[Stretch]) -> Iterable[Sequence[Any]]:
    for stretch in stretches:
        window = stretch.window
        for seen in stretch.seen.values():
            level = seen.level
            rates = (seen.requests, level.offered, level.goodput, level.refused, level.lost, level.late_p99_s)
            yield (window.name, window.begin, window.end, window.rate, seen.caller, *rates, *_percentiles(seen))


def _percentiles(seen: Seen) -> Iterable[float | None]:
    for values in (seen.latency, seen.first_token, seen.token):
        for percent in PERCENTILES:
            yield values.get(percent)


def _model_rows(stretches: Sequence[Stretch]) -> Iterable[Sequence[Any]]:
    for stretch in stretches:
        for model, measured in stretch.models.items():
            means = (measured.answered, measured.rows, measured.padding, measured.seconds)
            shares = (measured.parts.get(part) for part in PARTS)
            yield (stretch.window.name, stretch.window.rate, model, *means, *shares)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_text(cell) for cell in row] for row in rows)


def _text(cell: Any) -> Any:
    if isinstance(cell, float):
        return "" if cell != cell else f"{cell:.6g}"  # NaN: there was nothing to measure
    return "" if cell is None else cell
