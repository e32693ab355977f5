"""RequestContext: what an application records about one request, for response headers, metrics and the access log."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deployments.telemetry.measurements import Answer
from deployments.telemetry.observer import Outcome

if TYPE_CHECKING:
    from deployments.telemetry.tracing.call_trace import RequestTrace

CANCELLED = 499  # nginx's status for a client that has disconnected; it is never sent
_OUTCOMES: dict[int, Outcome] = {429: "overloaded", 503: "unavailable", 504: "expired", CANCELLED: "cancelled"}


@dataclass(slots=True)
class RequestContext:
    """One request.

    Attributes:
        request_id: the client's own, or a new one.
        status: as sent. For a stream that failed, the status of the error; `CANCELLED` if the client disconnected.
        answer: the model's answer with its times, if there is one.
        bytes_out: size of the response body.
        trace: its span; None if it is not traced.
        is_proxied: a model behind the gateway answered, and has counted the request.
    """

    request_id: str
    began: float = field(default_factory=time.perf_counter)
    status: int = 0
    answer: Answer | None = None
    bytes_out: int = 0
    is_proxied: bool = False
    trace: "RequestTrace | None" = None

    @property
    def seconds(self) -> float:
        """Time since the request arrived."""
        return time.perf_counter() - self.began

    @property
    def outcome(self) -> Outcome:
        if self.status < 400:
            return "ok"
        return _OUTCOMES.get(self.status, "client_error" if self.status < 500 else "error")


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def set_context(context: RequestContext) -> None:
    """Make a request's context available to its handlers, including applications called within this process."""
    _current.set(context)


def current_context() -> RequestContext:
    """The context of the current request; a throwaway one outside the middleware."""
    return _current.get() or RequestContext("")
