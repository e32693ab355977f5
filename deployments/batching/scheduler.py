"""Scheduler: the interface of whatever runs a model's rows."""

from typing import Protocol

from deployments.batching.job import Job
from deployments.telemetry.measurements import Load


class Scheduler(Protocol):
    """A queue with the model thread behind it: `Batcher`, or `GenerationScheduler`."""

    @property
    def busy_since(self) -> float | None:
        """`time.monotonic()` at which the running forward began; None while none runs."""

    @property
    def batch_rows(self) -> int:
        """Rows of the batch that runs, or ran last."""

    @property
    def is_alive(self) -> bool:
        """Whether the model thread runs."""

    @property
    def load(self) -> Load:
        """How many rows wait and run now."""

    def start(self) -> None: ...

    def submit(self, *jobs: Job) -> None:
        """Queue the rows of all these jobs, of a client batch for example. Thread-safe; never blocks on the model."""

    def cancel(self, job: Job, error: BaseException | None = None) -> None:
        """Drop a job; its waiting rows leave the queue at once. Thread-safe."""

    def stop(self) -> None:
        """Answer waiting rows with `Unavailable`, and end the thread."""
