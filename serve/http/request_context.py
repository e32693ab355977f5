"""RequestContext: what is noted of one request on its way through an application, for headers, metrics and log."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deployments.telemetry.measurements import Answer
from deployments.telemetry.observer import Outcome

if TYPE_CHECKING:
    from deployments.telemetry.tracing.call_trace import RequestTrace

CANCELLED = 499  # what nginx writes where the client has gone; nobody reads it
_OUTCOMES: dict[int, Outcome] = {429: "overloaded", 503: "unavailable", 504: "expired", CANCELLED: "cancelled"}


@dataclass(slots=True)
class Record:
    """One request.

    Attributes:
        request_id: the client's own, or a new one.
        status: that was sent; of a stream the one of the error that ended it, and `CANCELLED` where nobody is there to
            read it.
        answer: the model's, with its times; None where there was none.
        bytes_out: of the body that was sent.
        trace: its span; None where it is not traced.
        is_passed_on: a model behind the gateway answered, and has counted it.
    """

    request_id: str
    began: float = field(default_factory=time.perf_counter)
    status: int = 0
    answer: Answer | None = None
    bytes_out: int = 0
    is_passed_on: bool = False
    trace: "RequestTrace | None" = None

    @property
    def seconds(self) -> float:
        """Since it came."""
        return time.perf_counter() - self.began

    @property
    def outcome(self) -> Outcome:
        if self.status < 400:
            return "ok"
        return _OUTCOMES.get(self.status, "client_error" if self.status < 500 else "error")


_current: ContextVar[Record | None] = ContextVar("record", default=None)


def keep(record: Record) -> None:
    """Have a request's record found by whatever handles it, also where it asks an application in this process."""
    _current.set(record)


def current() -> Record:
    """The record of the request that is handled here; a new one where nobody notes anything."""
    return _current.get() or Record("")
