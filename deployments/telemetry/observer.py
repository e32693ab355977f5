"""Observer: what is told of requests, batches and the model, so that it can be measured. This one hears nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from deployments.telemetry.measurements import Answer, BatchReport, Load

if TYPE_CHECKING:
    from deployments.telemetry.tracing.tracer import Tracer

Dropped = Literal["expired", "cancelled"]
Outcome = Literal["ok", "client_error", "overloaded", "unavailable", "expired", "cancelled", "error"]


class Observer:
    """Told by a replica and what it is made of, from any thread; must not block.

    Attributes:
        tracer: what requests and batches are traced with; None where they are not.
    """

    tracer: "Tracer | None" = None

    def batch(self, report: BatchReport) -> None:
        """Rows have gone through the model together."""

    def split(self) -> None:
        """A batch has failed and is tried again in parts."""

    def out_of_memory(self) -> None:
        """Memory ran out, and the budget was halved."""

    def dropped(self, why: Dropped, rows: int) -> None:
        """Rows have left the line before the model read them."""

    def answered(self, answer: Answer) -> None:
        """A request has its answer."""

    def ended(self, outcome: Outcome, status: int, seconds: float) -> None:
        """A request is over, once for each; `status` is what its caller was told."""

    def refused_before(self, requests: int) -> None:
        """Requests to this model were refused for load before they came here."""

    def stage(self, stage: str, seconds: float) -> None:
        """A stage of the load is over."""

    def ready(self, memory_bytes: int) -> None:
        """The model is loaded and warmed."""

    def failed_to_load(self) -> None:
        """The model could not be loaded."""

    def healthy(self, is_healthy: bool) -> None:
        """What the latest health check found."""

    def canary(self, is_ok: bool) -> None:
        """A forward by which an idle replica checks itself is over."""

    def watch(self, in_flight: Callable[[], int], load: Callable[[], Load]) -> None:
        """How full the replica is can be asked here from now on."""
