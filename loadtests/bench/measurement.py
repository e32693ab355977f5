"""Measurement of one load on a server: throughput, latency, CPU time of its processes, and what its headers say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TypeVar

from loadtests.load.http_load import ClosedLoad
from loadtests.load.load_process import LoadProcess
from loadtests.load.percentiles import mean, median, percentile
from loadtests.load.results import LoadResult
from loadtests.processes.server import Server

KEPT_HEADERS = ["x-batch-size", "x-padding-ratio", "server-timing"]

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One load. Times are milliseconds. None if the server does not send the header.

    Attributes:
        requests_per_s: answered requests.
        cpu_ms: CPU time per request, of all processes of the server.
        thread_ms: CPU time per request, of the server's busiest thread.
        batch_rows: mean over requests.
        padding: mean over requests.
        busy: share of the time in which the model ran, for requests with one row each.
        failures: number of requests without status 200, by outcome.
    """

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    thread_ms: float
    batch_rows: float | None = None
    padding: float | None = None
    queue_ms: float | None = None
    preprocess_ms: float | None = None
    forward_ms: float | None = None
    busy: float | None = None
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


def measure(server: Server, loads: LoadProcess, load: ClosedLoad) -> Measurement:
    """Run the load against the server."""
    before = server.tree.usage()
    result = loads.run(load)
    after = server.tree.usage()
    return measurement(result, after.since(before), after.busiest_thread_since(before))


def measurement(result: LoadResult, cpu_s: float, thread_s: float) -> Measurement:
    latencies = result.latencies
    timings = [_timing(value) for value in result.headers.get("server-timing", [])]
    return Measurement(
        requests_per_s=len(latencies) / result.wall_s,
        p50_ms=percentile(latencies, 50) * 1e3,
        p99_ms=percentile(latencies, 99) * 1e3,
        cpu_ms=cpu_s * 1e3 / max(1, len(latencies)),
        thread_ms=thread_s * 1e3 / max(1, len(latencies)),
        batch_rows=_mean_header(result, "x-batch-size"),
        padding=_mean_header(result, "x-padding-ratio"),
        queue_ms=_mean_timing(timings, "queue"),
        preprocess_ms=_mean_timing(timings, "preprocess"),
        forward_ms=_mean_timing(timings, "forward"),
        busy=_busy(timings, result.headers.get("x-batch-size", []), result.wall_s),
        failures=result.failures,
    )


def median_of(rounds: Sequence[Measurement]) -> Measurement:
    """The median of each value over all rounds; failures are added up."""
    failures: Counter[str] = Counter()
    for each in rounds:
        failures.update(each.failures)
    names = [each.name for each in fields(Measurement) if each.name != "failures"]
    return Measurement(**{name: _median(rounds, name) for name in names}, failures=dict(failures))  # type: ignore[arg-type]


def passes_around(passes: Sequence[P], load: int, loads: int) -> Sequence[P]:
    """The two offline passes just before and just after a load.

    The speed of a shared machine changes from one minute to the next, so each load is compared with these two only.

    Args:
        passes: of all rounds. In each round there is a pass before every load, and one after the last.
        load: its number, over all rounds.
        loads: per round.
    """
    before = load + load // loads
    return passes[before : before + 2]


def _median(rounds: Sequence[Measurement], name: str) -> float | None:
    values = [value for each in rounds if (value := getattr(each, name)) is not None]
    return median(values) if values else None


def _mean_header(result: LoadResult, name: str) -> float | None:
    values = result.headers.get(name)
    return mean([float(value) for value in values]) if values else None


def _mean_timing(timings: Sequence[dict[str, float]], name: str) -> float | None:
    values = [timing[name] for timing in timings if name in timing]
    return mean(values) if values else None


def _busy(timings: Sequence[dict[str, float]], rows: Sequence[str], wall_s: float) -> float | None:
    """The sum of each request's share of its batch's forward time, over the duration of the load."""
    if not timings or len(timings) != len(rows):
        return None
    return sum(timing["forward"] / float(n) for timing, n in zip(timings, rows, strict=True)) / 1e3 / wall_s


def _timing(value: str) -> dict[str, float]:
    """`queue;dur=1.5, forward;dur=2` to {"queue": 1.5, "forward": 2.0}."""
    entries = (part.strip().partition(";dur=") for part in value.split(","))
    return {name: float(duration) for name, _, duration in entries}
