"""What became of the requests of a load."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

# Outcomes of a request: a status, or the kind of error.
ANSWERED, REFUSED = "200", "429"
NO_CONNECTION = "NoConnection"


@dataclass(slots=True)
class RequestResult:
    """One request. Times are seconds since the start of the load.

    Attributes:
        due: when it should have been sent.
        sent: when it was sent.
        ended: when its response was complete, or it failed.
        outcome: the status of the response, or the kind of error.
        retry_after: the `Retry-After` header, if the response has one.
    """

    due: float
    sent: float
    ended: float = 0.0
    outcome: str = ""
    retry_after: float | None = None

    @property
    def is_answered(self) -> bool:
        return self.outcome == ANSWERED

    @property
    def has_response(self) -> bool:
        return self.outcome.isdecimal()

    @property
    def latency_s(self) -> float:
        """Counted from when the request was due, so the delay that a slow service causes to its clients is included."""
        return self.ended - self.due


@dataclass(slots=True)
class LoadResult:
    """One load.

    Attributes:
        requests: all of them, in the order in which they were sent.
        headers: the values of each header to keep, from responses with status 200.
        wall_s: from the start to the end of the last request.
        cpu_s: CPU time of the process that generated the load.
        connections: number of connections opened.
    """

    requests: list[RequestResult] = field(default_factory=list)
    headers: dict[str, list[str]] = field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    connections: int = 0

    @property
    def latencies(self) -> list[float]:
        """Seconds, of answered requests."""
        return latencies(self.requests)

    @property
    def failures(self) -> dict[str, int]:
        """Number of requests without status 200, by outcome."""
        return dict(Counter(each.outcome for each in self.requests if not each.is_answered))


def latencies(requests: Sequence[RequestResult]) -> list[float]:
    """Seconds, of answered requests."""
    return [each.latency_s for each in requests if each.is_answered]
