"""Batch size, padding and queue share by model and window, as a heat map."""

from collections.abc import Callable, Sequence
from typing import Any

from loadtests.plan import Plan
from loadtests.report.plots.style import new_figure, x_axis
from loadtests.report.windows import WindowResult
from loadtests.service.metrics import ReplicaMetrics

PANELS: tuple[tuple[str, Callable[[ReplicaMetrics], float | None], str, float], ...] = (
    ("mean rows per batch", lambda metrics: metrics.rows, "{:.1f}", 8.0),
    ("padding, % of the batch", lambda metrics: _percent(metrics.padding), "{:.1f}", 10.0),
    ("time in the queue, % of the request", lambda metrics: _percent(metrics.stages.get("queue")), "{:.0f}", 100.0),
)
NO_VALUE = "·"


def plot(plan: Plan, results: Sequence[WindowResult]) -> Any:
    models = sorted({model for result in results for model in result.models})
    figure = new_figure(10.5, 1.2 + 0.29 * len(models))
    grid = figure.subplots(1, len(PANELS), sharey=True, squeeze=False)
    _, labels, title = x_axis(plan, results)
    for axes, (name, get, template, min_top) in zip(grid.flat, PANELS, strict=True):
        values = [[_value(result, model, get) for result in results] for model in models]
        _draw(axes, values, template, min_top)
        axes.set_title(name)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_yticks(range(len(models)), models)
    if title:
        figure.supxlabel(title, fontsize=10, color="#333333")
    return figure


def _draw(axes: Any, values: Sequence[Sequence[float | None]], template: str, min_top: float) -> None:
    known = [value for line in values for value in line if value is not None]
    top = max([*known, min_top])
    numbers = [[float("nan") if value is None else value for value in line] for line in values]
    options = {"cmap": "Blues", "vmin": 0, "vmax": top * 1.25, "edgecolors": "white", "linewidth": 1.5}
    axes.pcolormesh(range(len(values[0])), range(len(values)), numbers, shading="nearest", **options)
    axes.invert_yaxis()
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            is_dark = value is not None and value > 0.7 * top
            text = NO_VALUE if value is None else template.format(value)
            colour = "white" if is_dark else "#222222"
            axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=colour)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _value(result: WindowResult, model: str, get: Callable[[ReplicaMetrics], float | None]) -> float | None:
    metrics = result.models.get(model)
    return None if metrics is None else get(metrics)


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100
