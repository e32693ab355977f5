"""What is answered of what is offered, and what becomes of the rest."""

from collections.abc import Sequence
from typing import Any

from loadtests.plan import Plan
from loadtests.report.figures import ALL, Stretch
from loadtests.report.plots.style import ANSWERED, GREY, LOST, REFUSED, label_x, new_figure


def plot(plan: Plan, stretches: Sequence[Stretch]) -> Any:
    figure = new_figure(7.2, 3.6)
    axes = figure.subplots()
    places = label_x(axes, plan, stretches)
    levels = [stretch.seen[ALL].level for stretch in stretches]
    offered = [level.offered for level in levels]
    axes.plot(places, offered, color=GREY, linestyle="--", linewidth=1.4, label="offered")
    axes.plot(places, [level.goodput for level in levels], "o-", color=ANSWERED, label="answered")
    axes.plot(places, [level.offered * level.refused for level in levels], "o-", color=REFUSED, label="refused (429)")
    axes.plot(places, [level.offered * level.lost for level in levels], "o-", color=LOST, label="failed or given up")
    axes.set_ylim(0, max(*offered, *(level.goodput for level in levels), 1.0) * 1.1)
    axes.set_ylabel("requests/s")
    figure.legend(loc="outside upper right", ncols=4)
    return figure
