"""Where the time of a request in the replica goes, by window."""

from collections.abc import Sequence
from typing import Any

from loadtests.plan import Plan
from loadtests.report.figures import Stretch
from loadtests.report.plots.style import new_figure, seconds_text, x_axis
from loadtests.service.metrics import PARTS, Measured

NAMES = {"queue": "in line", "preprocess": "preprocess", "forward": "in the model", "postprocess": "postprocess"}
COLOURS = {"queue": "#d1495b", "preprocess": "#e09f3e", "forward": "#1b6ca8", "postprocess": "#76a5c8"}
REST = "#d5d8dc"


def plot(plan: Plan, stretches: Sequence[Stretch]) -> Any:
    """All models together; each request counts by its time."""
    figure = new_figure(7.2, 3.6)
    axes = figure.subplots()
    known = [(stretch, stretch.service) for stretch in stretches if stretch.service is not None]
    _, labels, title = x_axis(plan, [stretch for stretch, _ in known])
    places = range(len(known))
    below = [0.0] * len(known)
    for part in PARTS:
        shares = [service.parts.get(part, 0.0) * 100 for _, service in known]
        axes.bar(places, shares, 0.66, bottom=below, color=COLOURS[part], label=NAMES[part])
        below = [low + share for low, share in zip(below, shares, strict=True)]
    rest = [max(0.0, 100 - low) if service.parts else 0.0 for low, (_, service) in zip(below, known, strict=True)]
    axes.bar(places, rest, 0.66, bottom=below, color=REST, label="else")
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


def _mean(service: Measured) -> str:
    return "" if service.seconds is None else f"mean {seconds_text(service.seconds)}"
