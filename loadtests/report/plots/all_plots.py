"""All plots of a load test, each with its title and caption."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.load.records import RequestRecord
from loadtests.plan import Plan
from loadtests.report.plots import latency, model_grid, over_time, throughput, time_share
from loadtests.report.slo import Objectives
from loadtests.report.windows import WindowResult


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot.

    Attributes:
        name: of its file.
        title: its heading.
        caption: how to read it.
        figure: the matplotlib figure.
    """

    name: str
    title: str
    caption: str
    figure: Any


def all_plots(
    plan: Plan, results: Sequence[WindowResult], records: Sequence[RequestRecord], objectives: Objectives
) -> list[Plot]:
    """All plots. Without metrics, those of the metrics are left out."""
    course = Plot(
        "over-time",
        "Rates and latency over time",
        "Requests due and requests answered per second, and the latency of the requests due at each time.",
        over_time.plot(plan, records),
    )
    has_metrics = any(result.models for result in results)
    return [*_of_callers(plan, results, objectives), *(_of_metrics(plan, results) if has_metrics else []), course]


def _of_callers(plan: Plan, results: Sequence[WindowResult], objectives: Objectives) -> list[Plot]:
    return [
        Plot(
            "latency",
            "Latency over load",
            "Of answered requests, counted from when each was due, so that the delay that a slow service causes to its "
            "clients is included. The scale is logarithmic. The dashed line is the objective, up to the rate that it "
            "applies to. Refused and timed-out requests have no latency: if the service is saturated, see the next "
            "plot as well.",
            latency.plot(plan, results, objectives),
        ),
        Plot(
            "throughput",
            "Throughput over offered load",
            "The service keeps up as long as the answered requests follow the dashed line; where they fall below it, "
            "the service is saturated.",
            throughput.plot(plan, results),
        ),
    ]


def _of_metrics(plan: Plan, results: Sequence[WindowResult]) -> list[Plot]:
    return [
        Plot(
            "time-share",
            "Time in the replica, by stage",
            "Over all requests, from the metrics. The share of the queue grows as the service saturates.",
            time_share.plot(plan, results),
        ),
        Plot(
            "models",
            "Batches, padding and queueing, by model",
            "From the metrics, as differences between the start and the end of each window. For generating models, "
            "rows are the sequences decoded together in one step.",
            model_grid.plot(plan, results),
        ),
    ]
