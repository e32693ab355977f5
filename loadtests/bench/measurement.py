"""One measurement: a load on a server, with what it cost the server's processes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from loadtests.load.closed_load import Load, Result
from loadtests.load.load_process import LoadProcess
from loadtests.load.percentiles import mean, median, percentile
from loadtests.processes.server import Server

KEPT_HEADERS = ("x-batch-size", "x-padding-ratio", "server-timing")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one load showed. Times are milliseconds; None where a server does not say.

    Attributes:
        busy: share of the time in which the model ran, for requests of one row each.
        thread_ms: CPU per request of the server's busiest thread.
        failures: requests that were not answered with 200, by status or kind of error.
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


def measure(server: Server, loads: LoadProcess, load: Load) -> Measured:
    """Put the load on the server and count the CPU of all its processes meanwhile."""
    before = server.tree.usage()
    result = loads.run(load)
    after = server.tree.usage()
    return summary(result, after.since(before), after.busiest_thread_since(before))


def summary(result: Result, cpu_s: float, thread_s: float) -> Measured:
    answered = len(result.latencies)
    timings = [_timing(value) for value in result.headers.get("server-timing", [])]
    return Measured(
        requests_per_s=answered / result.wall_s,
        p50_ms=percentile(result.latencies, 50) * 1e3,
        p99_ms=percentile(result.latencies, 99) * 1e3,
        cpu_ms=cpu_s * 1e3 / max(1, answered),
        thread_ms=thread_s * 1e3 / max(1, answered),
        batch_rows=_mean_header(result, "x-batch-size"),
        padding=_mean_header(result, "x-padding-ratio"),
        queue_ms=_mean_timing(timings, "queue"),
        preprocess_ms=_mean_timing(timings, "preprocess"),
        forward_ms=_mean_timing(timings, "forward"),
        busy=_busy(timings, result.headers.get("x-batch-size", []), result.wall_s),
        failures=result.failures,
    )


def middle(rounds: Sequence[Measured]) -> Measured:
    """The median of each figure over all rounds; failures are added up."""
    failures: dict[str, int] = {}
    for each in rounds:
        for kind, count in each.failures.items():
            failures[kind] = failures.get(kind, 0) + count
    figures = [each.name for each in fields(Measured) if each.name != "failures"]
    return Measured(**{name: _median(rounds, name) for name in figures}, failures=failures)  # type: ignore[arg-type]


def _median(rounds: Sequence[Measured], figure: str) -> float | None:
    values = [value for each in rounds if (value := getattr(each, figure)) is not None]
    return median(values) if values else None


def _mean_header(result: Result, name: str) -> float | None:
    values = result.headers.get(name)
    return mean([float(value) for value in values]) if values else None


def _mean_timing(timings: Sequence[dict[str, float]], name: str) -> float | None:
    """Milliseconds; None where the server does not say."""
    values = [timing[name] for timing in timings if name in timing]
    return mean(values) if values else None


def _busy(timings: Sequence[dict[str, float]], rows: Sequence[str], wall_s: float) -> float | None:
    """Each request's share of its forward, added up, over the time."""
    if not timings or len(timings) != len(rows):
        return None
    return sum(timing["forward"] / float(n) for timing, n in zip(timings, rows, strict=True)) / 1e3 / wall_s


def _timing(value: str) -> dict[str, float]:
    """`queue;dur=1.5, forward;dur=2` to {"queue": 1.5, "forward": 2.0}."""
    entries = (part.strip().partition(";dur=") for part in value.split(","))
    return {name: float(duration) for name, _, duration in entries}
