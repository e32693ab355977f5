"""Answered, refused and failed requests over the offered load."""

from collections.abc import Sequence
from typing import Any

from loadtests.plan import Plan
from loadtests.report.plots.style import ANSWERED, GREY, LOST, REFUSED, label_x, new_figure
from loadtests.report.windows import ALL, WindowResult


def plot(plan: Plan, results: Sequence[WindowResult]) -> Any:
    figure = new_figure(7.2, 3.6)
    axes = figure.subplots()
    places = label_x(axes, plan, results)
    loads = [result.callers[ALL].load for result in results]
    offered = [load.offered for load in loads]
    axes.plot(places, offered, color=GREY, linestyle="--", linewidth=1.4, label="offered")
    axes.plot(places, [load.goodput for load in loads], "o-", color=ANSWERED, label="answered")
    axes.plot(places, [load.offered * load.refused for load in loads], "o-", color=REFUSED, label="refused (429)")
    axes.plot(places, [load.offered * load.lost for load in loads], "o-", color=LOST, label="failed or timed out")
    axes.set_ylim(0, max(*offered, *(load.goodput for load in loads), 1.0) * 1.1)
    axes.set_ylabel("requests/s")
    figure.legend(loc="outside upper right", ncols=4)
    return figure
