"""Line: what a replica knows of how rows go through a model."""

from typing import Protocol

from deployments.batching.job import Job
from deployments.telemetry.measurements import Load


class Scheduler(Protocol):
    """A waiting line with the model thread behind it."""

    @property
    def busy_since(self) -> float | None:
        """`time.monotonic()` at which what the model does now began; None while it does nothing."""

    @property
    def batch_rows(self) -> int:
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
