"""Time of requests in the replica, by stage and window."""

from collections.abc import Sequence
from typing import Any

from loadtests.plan import Plan
from loadtests.report.plots.style import new_figure, seconds_text, x_axis
from loadtests.report.windows import WindowResult
from loadtests.service.metrics import STAGES, ReplicaMetrics

NAMES = {"queue": "queue", "preprocess": "preprocess", "forward": "forward", "postprocess": "postprocess"}
COLOURS = {"queue": "#d1495b", "preprocess": "#e09f3e", "forward": "#1b6ca8", "postprocess": "#76a5c8"}
REST = "#d5d8dc"


def plot(plan: Plan, results: Sequence[WindowResult]) -> Any:
    """All models together. Each request is weighted by its time."""
    figure = new_figure(7.2, 3.6)
    axes = figure.subplots()
    known = [(result, result.service) for result in results if result.service is not None]
    _, labels, title = x_axis(plan, [result for result, _ in known])
    places = range(len(known))
    below = [0.0] * len(known)
    for stage in STAGES:
        shares = [service.stages.get(stage, 0.0) * 100 for _, service in known]
        axes.bar(places, shares, 0.66, bottom=below, color=COLOURS[stage], label=NAMES[stage])
        below = [low + share for low, share in zip(below, shares, strict=True)]
    rest = [max(0.0, 100 - low) if service.stages else 0.0 for low, (_, service) in zip(below, known, strict=True)]
    axes.bar(places, rest, 0.66, bottom=below, color=REST, label="other")
    for place, (_, service) in zip(places, known, strict=True):
        axes.text(place, 102, _mean(service), ha="center", va="bottom", fontsize=9, color="#333333")
    axes.set_xticks(places, labels)
    axes.set_ylim(0, 112)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("% of the time in the replica")
    if title:
        axes.set_xlabel(title)
    figure.legend(loc="outside upper right", ncols=5)
    return figure


def _mean(service: ReplicaMetrics) -> str:
    return "" if service.seconds is None else f"mean {seconds_text(service.seconds)}"
