"""What became of requests whose answers come token by token. No torch.

Times count from when a request was due, not from when it could be sent: a server that makes its callers late does not
look faster for it. Who was never answered has waited at least until the end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.load.percentiles import percentile


@dataclass(slots=True)
class Stream:
    """One request. Times are seconds since the load began.

    Attributes:
        due: when it was to be sent.
        wanted: tokens that it asked for.
        heard: when each token came.
        error: why it failed; empty if it did not.
    """

    due: float
    wanted: int
    heard: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def is_over(self) -> bool:
        return bool(self.error) or len(self.heard) >= self.wanted


@dataclass(slots=True)
class Load:
    """What a load showed.

    Attributes:
        streams: in the order in which they were due.
        ended: when it was cut off, or all was answered.
        cpu_s: processor time of the process that made it, and of the model where that is the same, after `since`.
        since: when it had settled.
    """

    streams: list[Stream]
    ended: float
    cpu_s: float = 0.0
    since: float = 0.0

    @property
    def tokens(self) -> int:
        return sum(len(stream.heard) for stream in self.streams)

    @property
    def failures(self) -> dict[str, int]:
        """Requests that went wrong, by how; being cut off is not wrong."""
        counts: dict[str, int] = {}
        for stream in self.streams:
            error = stream.error or ("too many tokens" if len(stream.heard) > stream.wanted else "")
            if error:
                counts[error] = counts.get(error, 0) + 1
        return counts


@dataclass(frozen=True, slots=True)
class Latency:
    """Waiting times of a load, in milliseconds.

    Attributes:
        gap_p99_ms: between two tokens of a request; NaN where all come at once.
        unheard: requests that had no token by the end. Their waiting time until then is counted, so with one of them
            in a hundred `first_p99_ms` is a lower bound.
        unfinished: requests that were cut off, the unheard among them.
    """

    requests: int
    first_p50_ms: float
    first_p99_ms: float
    gap_p50_ms: float
    gap_p99_ms: float
    unheard: int
    unfinished: int


def latency(load: Load) -> Latency:
    firsts, between = first_waits(load), gaps(load)
    at_once = not any(between)
    return Latency(
        len(load.streams),
        percentile(firsts, 50) * 1e3,
        percentile(firsts, 99) * 1e3,
        math.nan if at_once else percentile(between, 50) * 1e3,
        math.nan if at_once else percentile(between, 99) * 1e3,
        sum(not stream.heard for stream in load.streams),
        sum(not stream.is_over for stream in load.streams),
    )


def first_waits(load: Load) -> list[float]:
    """Seconds from when each request was due to its first token, or to the end if there was none."""
    return [(stream.heard[0] if stream.heard else load.ended) - stream.due for stream in load.streams]


def gaps(load: Load) -> list[float]:
    """Seconds between each token and the next of its request; a stream that was cut off has been silent until then."""
    found: list[float] = []
    for stream in load.streams:
        times: Sequence[float] = stream.heard
        if stream.heard and not stream.is_over:
            times = [*stream.heard, load.ended]
        found += [after - before for before, after in zip(times, times[1:], strict=False)]
    return found


def tokens_per_s(load: Load) -> float:
    """Tokens after it had settled until the last one came, by the time between the two; NaN if none came.

    Where tokens come in lots, time after the last lot was spent on one that was cut off.
    """
    times = [time for stream in load.streams for time in stream.heard if time > load.since]
    return len(times) / (max(times) - load.since) if times else math.nan


def tokens_per_cpu_s(load: Load) -> float:
    """The same by processor time, of which as much is spent in any second."""
    return tokens_per_s(load) * (load.ended - load.since) / load.cpu_s if load.cpu_s else math.nan
