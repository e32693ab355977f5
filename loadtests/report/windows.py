"""The results of a load test: statistics of each kind of caller and metrics of each model, by window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadtests.load.percentiles import percentile
from loadtests.load.records import RequestRecord
from loadtests.load.statistics import LoadStatistics, load_statistics
from loadtests.plan import Plan
from loadtests.service.metrics import MetricSums, ReplicaMetrics, metrics_by_model, metrics_of_all
from loadtests.traffic.callers import CALLERS
from loadtests.windows import WARM_UP_S, Window

PERCENTILES = (50, 90, 99)
ALL = "all callers"


@dataclass(frozen=True, slots=True)
class CallerResult:
    """Statistics of one kind of caller in a window. Times are seconds from when a request was due.

    Attributes:
        caller: the kind of caller; `ALL` for all of them.
        load: rates, shares and errors.
        latency: percentiles, of answered requests.
        first_token: percentiles of the time to first token; empty without streams.
        token: percentiles of the time per output token; empty without streams.
        requests: number of requests due.
    """

    caller: str
    load: LoadStatistics
    latency: Mapping[int, float]
    first_token: Mapping[int, float]
    token: Mapping[int, float]
    requests: int

    @property
    def error_share(self) -> float:
        """Share of requests without status 200, refusals included."""
        return self.load.refused + self.load.lost


@dataclass(frozen=True, slots=True)
class WindowResult:
    """The results of one window.

    Attributes:
        window: its time and rate.
        callers: by kind of caller, `ALL` first.
        service: metrics of all models; None if they could not be read.
        models: metrics by model.
    """

    window: Window
    callers: Mapping[str, CallerResult]
    service: ReplicaMetrics | None = None
    models: Mapping[str, ReplicaMetrics] = field(default_factory=dict)


def window_results(plan: Plan, records: Sequence[RequestRecord], scrapes: Sequence[MetricSums]) -> list[WindowResult]:
    """The results of each window.

    Args:
        plan: with the windows.
        records: all requests.
        scrapes: of the metrics, before the load and after each window; empty without metrics.
    """
    results = []
    names = {record.caller for record in records}
    kinds = [caller.name for caller in CALLERS if caller.name in names]
    for number, window in enumerate(plan.windows):
        callers = {ALL: _caller_result(ALL, records, window)}
        for name in kinds:
            callers[name] = _caller_result(name, [each for each in records if each.caller == name], window)
        if len(scrapes) > number + 1:
            pair = scrapes[number], scrapes[number + 1]
            results.append(WindowResult(window, callers, metrics_of_all(*pair), metrics_by_model(*pair)))
        else:
            results.append(WindowResult(window, callers))
    return results


def _caller_result(caller: str, records: Sequence[RequestRecord], window: Window) -> CallerResult:
    begin = window.begin + min(WARM_UP_S, window.seconds / 4)
    due = [record for record in records if begin <= record.due < window.end]
    answered = [record for record in due if record.is_answered]
    return CallerResult(
        caller,
        load_statistics(records, begin, window.end),
        _percentiles([record.latency_s for record in answered]),
        _percentiles([record.first_token_s for record in answered]),
        _percentiles([record.token_s for record in answered]),
        len(due),
    )


def _percentiles(values: Sequence[float | None]) -> dict[int, float]:
    known = [value for value in values if value is not None]
    return {percent: percentile(known, percent) for percent in PERCENTILES} if known else {}
