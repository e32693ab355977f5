"""The report of `overload`: a table and targets."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict

from loadtests.bench.overload.benchmark import CLIENTS, GRACE_S, MAX_RATE, RECOVERY_LOAD, Level, Plan, Round
from loadtests.load.percentiles import median
from loadtests.report.table import Cell, TableReport
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
    "send delay p99 ms",
    "service cores",
    "load cores",
)


def report(plan: Plan, rounds: Sequence[Round]) -> TableReport:
    made = TableReport("overload", asdict(plan) | {"clients": CLIENTS, "cpu_threads": 1}, COLUMNS)
    for place, multiple in enumerate(plan.multiples):
        made.rows.append(_row(multiple, [each.levels[place] for each in rounds]))
    made.notes = _notes(plan, rounds)
    made.targets = _targets(plan, rounds)
    made.rounds = {"rounds": list(rounds)}
    return made


def _row(multiple: float, levels: Sequence[Level]) -> tuple[Cell, ...]:
    def middle(value: Callable[[Level], float]) -> float:
        return median([value(each) for each in levels])

    retry_after = next((each.load.retry_after_s for each in levels if each.load.retry_after_s), None)
    return (
        f"{multiple:g} x",
        middle(lambda each: each.load.offered),
        middle(lambda each: each.load.goodput),
        middle(lambda each: each.load.p50_s),
        middle(lambda each: each.load.p99_s),
        f"{middle(lambda each: each.load.refused):.0%}",
        f"{middle(lambda each: each.load.lost):.1%}",
        "" if retry_after is None else f"{retry_after[0]:g} ({retry_after[1]:g}-{retry_after[2]:g})",
        middle(lambda each: each.load.refused_p99_s) * 1e3,
        middle(lambda each: each.load.late_p99_s) * 1e3,
        middle(lambda each: each.service_cores),
        middle(lambda each: each.load_cores),
    )


def _notes(plan: Plan, rounds: Sequence[Round]) -> list[str]:
    capacities = ", ".join(f"{each.capacity:.0f}" for each in rounds)
    notes = [
        f"Model: {plan.model}.",
        f"Capacity: {capacities} requests/s, measured with a closed load of {CLIENTS} clients. The service times out "
        f"after {plan.timeout_s:g} s and the clients {GRACE_S:g} s later; timeouts count as lost. Latency counts from "
        "when a request was due. Retry-After: median (minimum-maximum).",
        "The load generator and the service share the machine's cores. Send delay: how much later than due the load "
        "generator sent its requests.",
    ]
    if any(plan.multiples[-1] * each.capacity > MAX_RATE for each in rounds):
        notes.append(f"The offered load was limited to {MAX_RATE:,.0f} requests/s.")
    losses = {kind: n for each in rounds for level in each.levels for kind, n in level.load.losses.items()}
    if losses:
        notes.append(f"Lost requests: {losses}.")
    return notes


def _targets(plan: Plan, rounds: Sequence[Round]) -> list[Target]:
    last = [each.levels[-1].load for each in rounds]
    goodput = [load.goodput / each.peak if each.peak else math.nan for load, each in zip(last, rounds, strict=True)]
    recoveries = [each.recovery for each in rounds if each.recovery is not None]
    name = f"{plan.multiples[-1]:g} x capacity"
    return [
        Target(f"goodput at {name}, relative to the peak", 0.9, median(goodput)),
        Target(f"share of lost requests at {name}", 0.01, median([load.lost for load in last]), at_most=True),
        Target(
            f"seconds from {name} to 0.9 of the peak goodput",
            2.0,
            median([each.goodput_s for each in recoveries]),
            at_most=True,
        ),
        Target(
            f"seconds from {name} to the usual p50 at {RECOVERY_LOAD:g} x capacity",
            # The queue holds at most the work of the timeout, and the load leaves this share of the capacity for it.
            plan.timeout_s / (1 - RECOVERY_LOAD),
            median([each.latency_s for each in recoveries]),
            at_most=True,
        ),
    ]
