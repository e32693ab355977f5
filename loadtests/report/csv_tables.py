"""The results of a load test as CSV: statistics of callers, and metrics of models."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from loadtests.report.windows import PERCENTILES, CallerResult, WindowResult
from loadtests.service.metrics import STAGES

CALLERS, MODELS = "callers.csv", "models.csv"
_CALLER_COLUMNS = (
    *("window", "begin_s", "end_s", "rate", "caller", "requests", "offered_per_s", "answered_per_s"),
    *("refused_share", "lost_share", "sent_late_p99_s"),
    *(f"{name}p{percent}_s" for name in ("", "first_token_", "token_") for percent in PERCENTILES),
)
_MODEL_COLUMNS = (
    *("window", "rate", "model", "answered", "mean_batch_rows", "mean_padding_ratio", "mean_request_s"),
    *(f"{stage}_share" for stage in STAGES),
)


def write_tables(results: Sequence[WindowResult], folder: Path) -> None:
    _write(folder / CALLERS, _CALLER_COLUMNS, _caller_rows(results))
    _write(folder / MODELS, _MODEL_COLUMNS, _model_rows(results))


def _caller_rows(results: Sequence[WindowResult]) -> Iterable[Sequence[Any]]:
    for result in results:
        window = result.window
        for each in result.callers.values():
            load = each.load
            rates = (each.requests, load.offered, load.goodput, load.refused, load.lost, load.late_p99_s)
            yield (window.name, window.begin, window.end, window.rate, each.caller, *rates, *_percentiles(each))


def _percentiles(result: CallerResult) -> Iterable[float | None]:
    for values in (result.latency, result.first_token, result.token):
        for percent in PERCENTILES:
            yield values.get(percent)


def _model_rows(results: Sequence[WindowResult]) -> Iterable[Sequence[Any]]:
    for result in results:
        for model, metrics in result.models.items():
            means = (metrics.answered, metrics.rows, metrics.padding, metrics.seconds)
            shares = (metrics.stages.get(stage) for stage in STAGES)
            yield (result.window.name, result.window.rate, model, *means, *shares)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_text(cell) for cell in row] for row in rows)


def _text(cell: Any) -> Any:
    if isinstance(cell, float):
        return "" if cell != cell else f"{cell:.6g}"  # NaN: nothing was measured
    return "" if cell is None else cell
