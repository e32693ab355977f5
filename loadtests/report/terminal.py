"""A load test's outcome on the terminal, as the benchmarks show theirs."""

from rich.console import Console

from loadtests.report.figures import ALL, PERCENTILES
from loadtests.report.outcome import Outcome
from loadtests.report.report import Report

COLUMNS = ("window", "offered/s", "answered/s", "refused %", "failed %", *(f"p{each} ms" for each in PERCENTILES))


def show(outcome: Outcome, console: Console) -> None:
    """The windows, and the objectives that are broken."""
    report = Report("load test", {}, COLUMNS, machine=dict(outcome.machine))
    for stretch in outcome.stretches:
        seen = stretch.seen[ALL]
        level = seen.level
        times = (seen.latency.get(each, float("nan")) * 1e3 for each in PERCENTILES)
        shares = (level.refused * 100, level.lost * 100)
        report.rows.append((stretch.window.name, level.offered, level.goodput, *shares, *times))
    report.targets = outcome.broken
    report.notes = [f"{len(outcome.targets) - len(outcome.broken)} of {len(outcome.targets)} objectives met"]
    console.print()
    report.show(console)
