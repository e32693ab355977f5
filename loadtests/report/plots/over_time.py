"""Requests and responses per second, and the latency of the requests due at each time, over the whole load."""

import math
from collections.abc import Sequence
from typing import Any

from loadtests.load.percentiles import percentile
from loadtests.load.records import RequestRecord
from loadtests.plan import Plan
from loadtests.report.plots.style import ANSWERED, GREY, LIGHT, LOST, PERCENTILE_COLOURS, log_seconds, new_figure

BINS = 90
SHOWN = (50, 99)
SHADE = "#f3f5f8"


def plot(plan: Plan, records: Sequence[RequestRecord]) -> Any:
    figure = new_figure(10.5, 4.6)
    rates, latencies = figure.subplots(2, 1, sharex=True)
    width = max(1.0, plan.total_s / BINS)
    bins = math.ceil(plan.total_s / width)
    times = [(number + 0.5) * width for number in range(bins)]
    _draw_rates(rates, records, times, width)
    _draw_latencies(latencies, records, times, width)
    for axes in (rates, latencies):
        axes.set_xlim(0, plan.total_s)
        axes.grid(axis="y", color=LIGHT)
        axes.set_axisbelow(True)
        for window in plan.windows[::2] if plan.shape != "steps" else plan.windows:
            axes.axvspan(window.begin, window.end, color=SHADE, zorder=0)
    for window in plan.windows:
        middle = (window.begin + window.end) / 2
        rates.text(
            middle, 1.02, window.name, transform=rates.get_xaxis_transform(), ha="center", fontsize=9, color=GREY
        )
    latencies.set_xlabel("seconds since the start of the load")
    return figure


def _draw_rates(axes: Any, records: Sequence[RequestRecord], times: Sequence[float], width: float) -> None:
    good = [record.ended for record in records if record.is_answered]
    bad = [record.ended for record in records if not record.is_answered]
    lines = (
        ("due", [record.due for record in records], GREY, 1.2),
        ("answered", good, ANSWERED, 1.6),
        ("refused or failed", bad, LOST, 1.6),
    )
    for label, ats, colour, thickness in lines:
        counts = [0] * len(times)
        for at in ats:
            if 0 <= at < len(times) * width:
                counts[int(at / width)] += 1
        rate = [count / width for count in counts]
        axes.step(times, rate, where="mid", color=colour, linewidth=thickness, label=label)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("requests/s")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _draw_latencies(axes: Any, records: Sequence[RequestRecord], times: Sequence[float], width: float) -> None:
    taken: list[list[float]] = [[] for _ in times]
    for record in records:
        if record.is_answered and 0 <= record.due < len(times) * width:
            taken[int(record.due / width)].append(record.latency_s)
    log_seconds(axes)
    for percent in SHOWN:
        line = [percentile(each, percent) for each in taken]
        axes.plot(
            times, line, ".-", markersize=3, linewidth=1.3, color=PERCENTILE_COLOURS[percent], label=f"p{percent}"
        )
    axes.set_ylabel("latency")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
