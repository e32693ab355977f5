"""Observer: notified of requests, batches and the model, to measure them. The base class ignores everything."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from deployments.telemetry.measurements import Answer, BatchReport, Load

if TYPE_CHECKING:
    from deployments.telemetry.tracing.tracer import Tracer

Dropped = Literal["expired", "cancelled"]
Outcome = Literal["ok", "client_error", "overloaded", "unavailable", "expired", "cancelled", "error"]


class Observer:
    """Called by a replica and its parts, from any thread; must not block.

    Attributes:
        tracer: traces requests and batches; None if nothing is traced.
    """

    tracer: "Tracer | None" = None

    def batch(self, report: BatchReport) -> None:
        """A batch has run."""

    def prompt(self, tokens: int, cached: int) -> None:
        """A prompt begins to be read, of which so many tokens are in the cache already."""

    def guessed(self, accepted: int, rejected: int) -> None:
        """Tokens were guessed, of which the model would have written so many."""

    def split(self) -> None:
        """A batch has failed and is retried in parts."""

    def out_of_memory(self) -> None:
        """Memory ran out, and the budget was halved."""

    def dropped(self, reason: Dropped, rows: int) -> None:
        """Rows have left the queue before they ran."""

    def answered(self, answer: Answer) -> None:
        """A request was answered."""

    def ended(self, outcome: Outcome, status: int, seconds: float) -> None:
        """A request has ended, called once for each; `status` is that of its response."""

    def refused_before(self, requests: int) -> None:
        """Requests to this model were refused for overload upstream."""

    def stage(self, stage: str, seconds: float) -> None:
        """A stage of loading has ended."""

    def ready(self, memory_bytes: int) -> None:
        """The model is loaded and warmed."""

    def failed_to_load(self) -> None:
        """The model could not be loaded."""

    def healthy(self, is_healthy: bool) -> None:
        """A health check has run."""

    def canary(self, is_ok: bool) -> None:
        """A canary has run."""

    def watch(self, in_flight: Callable[[], int], load: Callable[[], Load]) -> None:
        """These functions return the current load, from now on."""
