"""Measurements of requests, batches and the engine: plain values that every room may read."""

from dataclasses import dataclass
from typing import NamedTuple


class Load(NamedTuple):
    """Rows in the queue and in the model.

    Attributes:
        waiting: rows that wait for the model.
        running: rows in the model.
        padding_ratio: share of padding in the running batch.
        cache_used: share of the key-value cache in use; None without one.
    """

    waiting: int
    running: int
    padding_ratio: float = 0.0
    cache_used: float | None = None


@dataclass(slots=True)
class BatchReport:
    """One forward, for response headers and metrics.

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
    """How fast an answer was generated.

    Attributes:
        first_token_s: seconds in the model until the first token.
        token_s: mean seconds per token after the first; None for an answer of one token.
    """

    first_token_s: float
    token_s: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request, and its measurements. Times are seconds.

    Attributes:
        truncated: items that were truncated.
        tokens: (read, generated); None for tasks without tokens.
        pace: None for tasks that do not generate.
    """

    body: bytes
    queue_s: float
    preprocess_s: float
    forward_s: float
    postprocess_s: float
    batch_rows: int
    padding_ratio: float
    truncated: int
    tokens: tuple[int, int | None] | None = None
    items: int = 1
    pace: Pace | None = None
