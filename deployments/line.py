"""Line: what a replica knows of how rows go through a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from deployments.job import Job


class Line(Protocol):
    """A waiting line with the model thread behind it."""

    @property
    def busy_since(self) -> float | None:
        """`time.monotonic()` at which what the model does now began; None while it does nothing."""

    @property
    def is_alive(self) -> bool:
        """Whether the model thread runs."""

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
