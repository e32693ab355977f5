"""The plots of a load test, each with the words that stand with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.load.records import Record
from loadtests.plan import Plan
from loadtests.report.figures import Stretch
from loadtests.report.plots import latency, model_grid, over_time, throughput, time_share
from loadtests.report.slo import Objectives


@dataclass(frozen=True, slots=True)
class Picture:
    """One plot.

    Attributes:
        name: of its file.
        title: its heading.
        caption: how to read it.
        figure: matplotlib's.
    """

    name: str
    title: str
    caption: str
    figure: Any


def pictures(
    plan: Plan, stretches: Sequence[Stretch], records: Sequence[Record], objectives: Objectives
) -> list[Picture]:
    """All plots; those of the metrics only where there are metrics."""
    course = Picture(
        "over-time",
        "The load as it went",
        "Requests that were due and that were answered, and the time of those that were due at each moment.",
        over_time.plot(plan, records),
    )
    has_metrics = any(stretch.models for stretch in stretches)
    return [*_of_callers(plan, stretches, objectives), *(_of_metrics(plan, stretches) if has_metrics else []), course]


def _of_callers(plan: Plan, stretches: Sequence[Stretch], objectives: Objectives) -> list[Picture]:
    return [
        Picture(
            "latency",
            "Latency over load",
            "Of answered requests, from the moment each was due, so that requests that a slow service held up count "
            "with all their waiting. Logarithmic. The dashed line is the objective, as far as it holds. What was "
            "refused or given up has no latency here: where the service is full, look at the next plot, too.",
            latency.plot(plan, stretches, objectives),
        ),
        Picture(
            "throughput",
            "Throughput against offered load",
            "Answers that keep up with the offer lie on the dashed line; where they leave it, the service is full.",
            throughput.plot(plan, stretches),
        ),
    ]


def _of_metrics(plan: Plan, stretches: Sequence[Stretch]) -> list[Picture]:
    return [
        Picture(
            "time-share",
            "Where the time goes",
            "Time of all requests in the replicas, from the metrics. The share in line grows as the service fills.",
            time_share.plot(plan, stretches),
        ),
        Picture(
            "models",
            "Batches, padding and waiting, by model",
            "From the metrics, as differences between the beginning and the end of each window. Of models that write, "
            "rows are those written together in a step.",
            model_grid.plot(plan, stretches),
        ),
    ]
