"""Token streams of a load, and their throughput and latency.

Latency counts from when a request was due, not from when it was sent: a server that delays its clients does not look
faster for it. A request without a token has waited until the end of the load.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.load.percentiles import percentile


@dataclass(slots=True)
class TokenStream:
    """One request. Times are seconds since the start of the load.

    Attributes:
        due: when it should have been sent.
        requested: number of tokens.
        token_times: when each token arrived.
        error: the kind of failure; empty without one.
    """

    due: float
    requested: int
    token_times: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def has_ended(self) -> bool:
        return bool(self.error) or len(self.token_times) >= self.requested


@dataclass(slots=True)
class StreamingResult:
    """One load.

    Attributes:
        streams: in the order in which they were due.
        ended: when the load was cut off, or all streams had ended.
        cpu_s: CPU time after `since`, of the process with the load generator, and with the model if it is in process.
        since: end of the warm-up.
    """

    streams: list[TokenStream]
    ended: float
    cpu_s: float = 0.0
    since: float = 0.0

    @property
    def tokens(self) -> int:
        return sum(len(stream.token_times) for stream in self.streams)

    @property
    def failures(self) -> dict[str, int]:
        """Number of failed requests, by kind. A stream that was cut off at the end is no failure."""
        kinds = (
            stream.error or ("too many tokens" if len(stream.token_times) > stream.requested else "")
            for stream in self.streams
        )
        return dict(Counter(filter(None, kinds)))


@dataclass(frozen=True, slots=True)
class StreamingLatency:
    """Latency of a load, in milliseconds.

    Attributes:
        requests: number of requests.
        first_p50_ms: time to first token.
        first_p99_ms: time to first token.
        gap_p50_ms: inter-token latency; NaN if all tokens of a request arrive at once.
        gap_p99_ms: inter-token latency.
        without_token: number of requests without a token. They count with their time until the end, so with one of them
            in a hundred `first_p99_ms` is a lower bound.
        unfinished: number of requests that were cut off, including those without a token.
    """

    requests: int
    first_p50_ms: float
    first_p99_ms: float
    gap_p50_ms: float
    gap_p99_ms: float
    without_token: int
    unfinished: int


def streaming_latency(result: StreamingResult) -> StreamingLatency:
    firsts, gaps = times_to_first_token(result), inter_token_latencies(result)
    at_once = not any(gaps)
    return StreamingLatency(
        len(result.streams),
        percentile(firsts, 50) * 1e3,
        percentile(firsts, 99) * 1e3,
        math.nan if at_once else percentile(gaps, 50) * 1e3,
        math.nan if at_once else percentile(gaps, 99) * 1e3,
        sum(not stream.token_times for stream in result.streams),
        sum(not stream.has_ended for stream in result.streams),
    )


def times_to_first_token(result: StreamingResult) -> list[float]:
    """Seconds from when each request was due to its first token, or to the end of the load without one."""
    return [(stream.token_times[0] if stream.token_times else result.ended) - stream.due for stream in result.streams]


def inter_token_latencies(result: StreamingResult) -> list[float]:
    """Seconds between consecutive tokens of a request. A stream that was cut off has a last gap until then."""
    gaps: list[float] = []
    for stream in result.streams:
        times: Sequence[float] = stream.token_times
        if times and not stream.has_ended:
            times = [*times, result.ended]
        gaps += [after - before for before, after in zip(times, times[1:], strict=False)]
    return gaps


def tokens_per_s(result: StreamingResult) -> float:
    """Tokens after the warm-up, over the time from then to the last token; NaN without any.

    If tokens arrive in batches, the time after the last one was spent on a batch that was cut off.
    """
    times = [time for stream in result.streams for time in stream.token_times if time > result.since]
    return len(times) / (max(times) - result.since) if times else math.nan


def tokens_per_cpu_s(result: StreamingResult) -> float:
    """The same by CPU time, which is used at a constant rate."""
    return tokens_per_s(result) * (result.ended - result.since) / result.cpu_s if result.cpu_s else math.nan
