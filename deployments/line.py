"""Line: what a replica knows of how rows go through a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from deployments.job import Job


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


class Line(Protocol):
    """A waiting line with the model thread behind it."""

    @property
    def busy_since(self) -> float | None:
        """`time.monotonic()` at which what the model does now began; None while it does nothing."""

    @property
    def together(self) -> int:
        """Rows that the model takes together: those that are in it, or were last."""

    @property
    def is_alive(self) -> bool:
        """Whether the model thread runs."""

    @property
    def load(self) -> Load:
        """How full it is now."""

    def start(self) -> None: ...

    def submit(self, job: Job) -> None:
        """Put a job's rows in line. Thread-safe; never blocks on the model."""

    def cancel(self, job: Job, error: BaseException | None = None) -> None:
        """Drop a job: its waiting rows leave the line at once. Thread-safe."""

    def stop(self) -> None:
        """Answer what waits with `Unavailable`, and end the thread."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A line, and what is told about it.

    Attributes:
        line: not started yet.
        description: how rows go through the model, for the answer to `GET /tasks/<task>`.
    """

    line: Line
    description: Mapping[str, Any]
