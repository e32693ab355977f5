"""What is measured of requests, batches and the engine: plain values that every room may read."""

from dataclasses import dataclass
from typing import NamedTuple


class Load(NamedTuple):
    """How full a line is.

    Attributes:
        waiting: rows that wait for the model.
        running: rows that are in the model now.
        padding_ratio: share of padding in what the model reads now.
        cache_used: share of the cache for keys and values that is taken up; None without one.
    """

    waiting: int
    running: int
    padding_ratio: float = 0.0
    cache_used: float | None = None


@dataclass(slots=True)
class BatchReport:
    """One forward as it ran: for headers and metrics.

    Attributes:
        rows: rows in the batch.
        cost: their cost, in the task's unit.
        padding_ratio: share of the computed area that was padding, 0 to 1.
        forward_s: seconds in the model.
    """

    rows: int
    cost: int
    padding_ratio: float
    forward_s: float


class Pace(NamedTuple):
    """How fast an answer was written.

    Attributes:
        first_token_s: seconds in the model until the first token.
        token_s: mean seconds of those after it; None where there was but one.
    """

    first_token_s: float
    token_s: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got, and what it took. Times are seconds."""

    body: bytes
    queue_s: float
    preprocess_s: float
    forward_s: float
    postprocess_s: float
    batch_rows: int
    padding_ratio: float
    truncated: int  # items that were cut
    tokens: tuple[int, int | None] | None = None  # read and written, where there are tokens
    items: int = 1
    pace: Pace | None = None  # where the model writes
