"""The plot of `overload`: goodput and latency over the offered load."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loadtests.bench.overload.benchmark import Round
from loadtests.load.percentiles import median
from loadtests.load.statistics import LoadStatistics
from loadtests.report.plots.style import ANSWERED, LIGHT, PERCENTILE_COLOURS, as_png, new_figure


def plot(rounds: Sequence[Round], path: Path) -> None:
    """Write a PNG file."""
    figure = new_figure(7.2, 6.4)
    rates, latencies = figure.subplots(2, 1, sharex=True)
    multiples = [each.multiple for each in rounds[0].levels]
    capacity = median([each.capacity for each in rounds])
    _draw_rates(rates, multiples, rounds, capacity)
    _draw_latencies(latencies, multiples, rounds)
    latencies.set_xlabel(f"offered load, in multiples of the capacity ({capacity:.0f} requests/s)")
    latencies.set_xscale("log")
    latencies.set_xticks(multiples, [f"{each:g}" for each in multiples])
    latencies.minorticks_off()
    as_png(figure, path)


def _draw_rates(axes: Any, multiples: Sequence[float], rounds: Sequence[Round], capacity: float) -> None:
    axes.axhline(capacity, color="black", linewidth=1, linestyle=":")
    axes.annotate("capacity", (multiples[0], capacity), xytext=(0, 4), textcoords="offset points")
    goodput = _medians(rounds, lambda load: load.goodput)
    axes.plot(multiples, goodput, "o-", color=ANSWERED)
    axes.set_ylim(0, max(capacity, *goodput) * 1.25)
    axes.set_title("Goodput")
    axes.set_ylabel("answered requests/s")
    axes.grid(axis="y", color=LIGHT)


def _draw_latencies(axes: Any, multiples: Sequence[float], rounds: Sequence[Round]) -> None:
    p99, p50 = _medians(rounds, lambda load: load.p99_s), _medians(rounds, lambda load: load.p50_s)
    axes.plot(multiples, p99, "o-", color=PERCENTILE_COLOURS[99], label="p99")
    axes.plot(multiples, p50, "o-", color=PERCENTILE_COLOURS[50], label="p50")
    axes.set_ylim(bottom=0)
    axes.set_title("Latency of answered requests")
    axes.set_ylabel("seconds")
    axes.grid(axis="y", color=LIGHT)
    axes.legend(loc="center right")


def _medians(rounds: Sequence[Round], value: Callable[[LoadStatistics], float]) -> list[float]:
    places = range(len(rounds[0].levels))
    return [median([value(each.levels[place].load) for each in rounds]) for place in places]
