"""Batch size, padding and queue share by model and window: a figure in each field, darker where it is more."""

from collections.abc import Callable, Sequence
from typing import Any

from loadtests.plan import Plan
from loadtests.report.figures import Stretch
from loadtests.report.plots.style import new_figure, x_axis
from loadtests.service.metrics import Measured

PANELS: tuple[tuple[str, Callable[[Measured], float | None], str, float], ...] = (
    ("mean rows of a batch", lambda measured: measured.rows, "{:.1f}", 8.0),
    ("padding, % of a batch", lambda measured: _percent(measured.padding), "{:.1f}", 10.0),
    ("time in line, % of a request", lambda measured: _percent(measured.parts.get("queue")), "{:.0f}", 100.0),
)
NOTHING = "·"  # nothing happened, so no figure


def plot(plan: Plan, stretches: Sequence[Stretch]) -> Any:
    models = sorted({model for stretch in stretches for model in stretch.models})
    figure = new_figure(10.5, 1.2 + 0.29 * len(models))
    grid = figure.subplots(1, len(PANELS), sharey=True, squeeze=False)
    _, labels, title = x_axis(plan, stretches)
    for axes, (name, get, written, least_top) in zip(grid.flat, PANELS, strict=True):
        values = [[_value(stretch, model, get) for stretch in stretches] for model in models]
        _draw(axes, values, written, least_top)
        axes.set_title(name)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_yticks(range(len(models)), models)
    if title:
        figure.supxlabel(title, fontsize=10, color="#333333")
    return figure


def _draw(axes: Any, values: Sequence[Sequence[float | None]], written: str, least_top: float) -> None:
    known = [value for line in values for value in line if value is not None]
    top = max([*known, least_top])
    numbers = [[float("nan") if value is None else value for value in line] for line in values]
    options = {"cmap": "Blues", "vmin": 0, "vmax": top * 1.25, "edgecolors": "white", "linewidth": 1.5}
    axes.pcolormesh(range(len(values[0])), range(len(values)), numbers, shading="nearest", **options)
    axes.invert_yaxis()
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            is_dark = value is not None and value > 0.7 * top
            text = NOTHING if value is None else written.format(value)
            colour = "white" if is_dark else "#222222"
            axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=colour)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _value(stretch: Stretch, model: str, get: Callable[[Measured], float | None]) -> float | None:
    measured = stretch.models.get(model)
    return None if measured is None else get(measured)


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100
