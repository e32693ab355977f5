"""Latency percentiles over the load: a panel for each kind of caller, and for the first tokens of streams."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loadtests.plan import Plan
from loadtests.report.figures import ALL, PERCENTILES, Seen, Stretch
from loadtests.report.plots.style import GREY, PERCENTILE_COLOURS, label_x, log_seconds, new_figure
from loadtests.report.slo import Objective, Objectives

COLUMNS = 3
Panel = tuple[str, Callable[[Stretch], Mapping[int, float]], float | None]


def plot(plan: Plan, stretches: Sequence[Stretch], objectives: Objectives) -> Any:
    panels = _panels(stretches, objectives)
    rows = -(-len(panels) // COLUMNS)
    figure = new_figure(10.5, 0.7 + 2.6 * rows)
    grid = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    cells = list(grid.flat)
    for number, (axes, panel) in enumerate(zip(cells, panels, strict=False)):
        _draw(axes, plan, stretches, panel, objectives, is_lowest=number + COLUMNS >= len(panels))
        if number % COLUMNS == 0:
            axes.set_ylabel("time from when it was due")
    for axes in cells[len(panels) :]:
        axes.remove()
    handles = {handle.get_label(): handle for axes in cells[: len(panels)] for handle in axes.get_lines()}
    shown = [handle for label, handle in handles.items() if not label.startswith("_")]
    figure.legend(handles=shown, loc="outside upper right", ncols=len(shown))
    return figure


def _panels(stretches: Sequence[Stretch], objectives: Objectives) -> list[Panel]:
    callers = [name for name in stretches[0].seen if name != ALL]
    panels: list[Panel] = []
    for name in callers:
        bounds = objectives.callers.get(name, Objective())
        panels.append((name, _of(name, lambda seen: seen.latency), bounds.p99_s))
        if any(stretch.seen[name].first_token for stretch in stretches):
            first = _of(name, lambda seen: seen.first_token)
            panels.append((f"{name}: first token", first, bounds.first_token_p99_s))
    return panels


def _of(name: str, get: Callable[[Seen], Mapping[int, float]]) -> Callable[[Stretch], Mapping[int, float]]:
    return lambda stretch: get(stretch.seen[name])


def _draw(
    axes: Any, plan: Plan, stretches: Sequence[Stretch], panel: Panel, objectives: Objectives, *, is_lowest: bool
) -> None:
    title, values, bound = panel
    places = label_x(axes, plan, stretches, titled=is_lowest)
    log_seconds(axes)
    for percent in PERCENTILES:
        line = [values(stretch).get(percent, float("nan")) for stretch in stretches]
        axes.plot(places, line, "o-", color=PERCENTILE_COLOURS[percent], label=f"p{percent}")
    held = [place for place, stretch in zip(places, stretches, strict=True) if _is_held(stretch, objectives)]
    if bound is not None and held:
        left = axes.get_xlim()[0]
        half = (places[1] - places[0]) / 4 if len(places) > 1 else 0.4
        axes.plot(
            [left, held[-1] + half], [bound, bound], color=GREY, linewidth=1.4, linestyle="--", label="p99 wanted"
        )
    axes.set_title(title)
    axes.tick_params(axis="y", labelleft=True)


def _is_held(stretch: Stretch, objectives: Objectives) -> bool:
    return stretch.window.rate <= objectives.up_to_rate
