"""The plot of `overload`: what is answered, and how long it takes, over what is offered."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtests.bench.overload.benchmark import Round
from loadtests.load.percentiles import median
from loadtests.load.statistics import Level

ANSWERS, TAIL = "#1b6ca8", "#d1495b"


def plot(rounds: Sequence[Round], path: Path) -> None:
    """Write a PNG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    rates, times = figure.subplots(2, 1, sharex=True)
    multiples = [each.multiple for each in rounds[0].levels]
    capacity = median([each.capacity for each in rounds])
    _draw_rates(rates, multiples, rounds, capacity)
    _draw_times(times, multiples, rounds)
    times.set_xlabel(f"offered load, in multiples of the capacity ({capacity:.0f} requests/s)")
    times.set_xscale("log")
    times.set_xticks(multiples, [f"{each:g}" for each in multiples])
    times.minorticks_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw_rates(axes: Any, multiples: Sequence[float], rounds: Sequence[Round], capacity: float) -> None:
    axes.axhline(capacity, color="black", linewidth=1, linestyle=":")
    axes.annotate("capacity", (multiples[0], capacity), xytext=(0, 4), textcoords="offset points")
    goodput = _middle(rounds, "goodput")
    axes.plot(multiples, goodput, "o-", color=ANSWERS)
    axes.set_ylim(0, max(capacity, *goodput) * 1.25)
    axes.set_title("What is answered (goodput)", loc="left", fontsize=11)
    axes.set_ylabel("answers per second")
    axes.grid(axis="y", color="#e6e6e6")


def _draw_times(axes: Any, multiples: Sequence[float], rounds: Sequence[Round]) -> None:
    for name, label, colour in (("p99_s", "p99", TAIL), ("p50_s", "p50", ANSWERS)):
        axes.plot(multiples, _middle(rounds, name), "o-", color=colour, label=label)
    axes.set_ylim(bottom=0)
    axes.set_title("How long it takes, of requests that were let in", loc="left", fontsize=11)
    axes.set_ylabel("seconds")
    axes.grid(axis="y", color="#e6e6e6")
    axes.legend(frameon=False, loc="center right")


def _middle(rounds: Sequence[Round], name: str) -> list[float]:
    levels: list[Sequence[Level]] = [[each.levels[place] for each in rounds] for place in range(len(rounds[0].levels))]
    return [median([getattr(each, name) for each in group]) for group in levels]
