"""What `overload` measured, as a table and against its targets."""

import math
from collections.abc import Sequence
from dataclasses import asdict

from loadtests.bench.overload.benchmark import CALLERS, CALM, MOST_RATE, Plan, Round
from loadtests.load.percentiles import median
from loadtests.load.statistics import Level
from loadtests.report.report import Cell, Report
from loadtests.report.targets import Target

COLUMNS = (
    "offered / capacity",
    "offered/s",
    "goodput/s",
    "p50 s",
    "p99 s",
    "refused",
    "lost",
    "Retry-After s",
    "refusal p99 ms",
    "late p99 ms",
    "service cores",
    "load cores",
)


def report(plan: Plan, rounds: Sequence[Round]) -> Report:
    made = Report("overload", asdict(plan) | {"callers": CALLERS, "cpu_threads": 1}, COLUMNS)
    made.rows = [_row(multiple, [each.levels[place] for each in rounds]) for place, multiple in _places(plan)]
    made.notes = _notes(plan, rounds)
    made.targets = _targets(plan, rounds)
    made.rounds = {"rounds": list(rounds)}
    return made


def _places(plan: Plan) -> list[tuple[int, float]]:
    return list(enumerate(plan.multiples))


def _row(multiple: float, levels: Sequence[Level]) -> tuple[Cell, ...]:
    def middle(name: str, factor: float = 1.0) -> float:
        return median([getattr(each, name) for each in levels]) * factor

    shares = (f"{middle('refused'):.0%}", f"{middle('lost'):.1%}")
    told = next((each.retry_after_s for each in levels if each.retry_after_s), None)
    spread = "" if told is None else f"{told[0]:g} ({told[1]:g}-{told[2]:g})"
    rates = (middle("offered"), middle("goodput"), middle("p50_s"), middle("p99_s"))
    slow = (middle("refused_p99_s", 1e3), middle("late_p99_s", 1e3))
    return (f"{multiple:g} x", *rates, *shares, spread, *slow, middle("service_cores"), middle("load_cores"))


def _notes(plan: Plan, rounds: Sequence[Round]) -> list[str]:
    capacities = ", ".join(f"{each.capacity:.0f}" for each in rounds)
    notes = [
        f"The model is {plan.model}.",
        f"Capacity: {capacities} requests/s, with {CALLERS} callers that ask again once they are answered. The service "
        f"gives up after {plan.timeout_s:g} s and callers a second later, which counts as lost. Times count from when "
        "a request was due; Retry-After: median (least-most).",
        "Load and service share the machine's cores. Late: how much later than due the load sent its requests.",
    ]
    if any(plan.multiples[-1] * each.capacity > MOST_RATE for each in rounds):
        notes.append(f"Never more than {MOST_RATE:,.0f} requests/s were offered.")
    if losses := {kind: count for each in rounds for level in each.levels for kind, count in level.losses.items()}:
        notes.append(f"Lost: {losses}.")
    return notes


def _targets(plan: Plan, rounds: Sequence[Round]) -> list[Target]:
    last = [each.levels[-1].goodput / each.peak if each.peak else math.nan for each in rounds]
    afters = [each.after for each in rounds if each.after is not None]
    name = f"{plan.multiples[-1]:g} x"
    return [
        Target(f"goodput at {name} over the peak", 0.9, median(last)),
        Target(f"lost at {name}, share", 0.01, median([each.levels[-1].lost for each in rounds]), at_most=True),
        Target(f"seconds to 0.9 of the peak after {name}", 2.0, median([a.goodput_s for a in afters]), at_most=True),
        Target(
            f"seconds to the usual p50 at {CALM:g} x after {name}",
            plan.timeout_s / (1 - CALM),  # a line of at most so many seconds, with the capacity that the load leaves
            median([a.calm_s for a in afters]),
            at_most=True,
        ),
    ]
