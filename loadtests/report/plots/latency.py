"""Latency percentiles over the offered load: a panel for each kind of caller, and for times to first token."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loadtests.plan import Plan
from loadtests.report.plots.style import GREY, PERCENTILE_COLOURS, label_x, log_seconds, new_figure
from loadtests.report.slo import Objective, Objectives
from loadtests.report.windows import ALL, PERCENTILES, CallerResult, WindowResult

COLUMNS = 3
Panel = tuple[str, Callable[[WindowResult], Mapping[int, float]], float | None]


def plot(plan: Plan, results: Sequence[WindowResult], objectives: Objectives) -> Any:
    panels = _panels(results, objectives)
    rows = -(-len(panels) // COLUMNS)
    figure = new_figure(10.5, 0.7 + 2.6 * rows)
    grid = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    cells = list(grid.flat)
    for number, (axes, panel) in enumerate(zip(cells, panels, strict=False)):
        _draw(axes, plan, results, panel, objectives, is_lowest=number + COLUMNS >= len(panels))
        if number % COLUMNS == 0:
            axes.set_ylabel("latency")
    for axes in cells[len(panels) :]:
        axes.remove()
    handles = {handle.get_label(): handle for axes in cells[: len(panels)] for handle in axes.get_lines()}
    shown = [handle for label, handle in handles.items() if not label.startswith("_")]
    figure.legend(handles=shown, loc="outside upper right", ncols=len(shown))
    return figure


def _panels(results: Sequence[WindowResult], objectives: Objectives) -> list[Panel]:
    callers = [name for name in results[0].callers if name != ALL]
    panels: list[Panel] = []
    for name in callers:
        bounds = objectives.callers.get(name, Objective())
        panels.append((name, _of(name, lambda result: result.latency), bounds.p99_s))
        if any(result.callers[name].first_token for result in results):
            first = _of(name, lambda result: result.first_token)
            panels.append((f"{name}: time to first token", first, bounds.first_token_p99_s))
    return panels


def _of(name: str, get: Callable[[CallerResult], Mapping[int, float]]) -> Callable[[WindowResult], Mapping[int, float]]:
    return lambda result: get(result.callers[name])


def _draw(
    axes: Any, plan: Plan, results: Sequence[WindowResult], panel: Panel, objectives: Objectives, *, is_lowest: bool
) -> None:
    title, values, bound = panel
    places = label_x(axes, plan, results, titled=is_lowest)
    log_seconds(axes)
    for percent in PERCENTILES:
        line = [values(result).get(percent, float("nan")) for result in results]
        axes.plot(places, line, "o-", color=PERCENTILE_COLOURS[percent], label=f"p{percent}")
    bounded = [place for place, result in zip(places, results, strict=True) if _applies(result, objectives)]
    if bound is not None and bounded:
        left = axes.get_xlim()[0]
        half = (places[1] - places[0]) / 4 if len(places) > 1 else 0.4
        axes.plot(
            [left, bounded[-1] + half], [bound, bound], color=GREY, linewidth=1.4, linestyle="--", label="p99 objective"
        )
    axes.set_title(title)
    axes.tick_params(axis="y", labelleft=True)


def _applies(result: WindowResult, objectives: Objectives) -> bool:
    return result.window.rate <= objectives.up_to_rate
