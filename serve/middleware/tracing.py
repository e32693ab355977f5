"""RequestSpans: the HTTP side of a trace: a span for each request that is posted to an application."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from deployments.telemetry.tracing import attributes as names
from serve.http.messages import Scope
from serve.http.request_context import CANCELLED, Record

if TYPE_CHECKING:
    from deployments.telemetry.tracing.call_trace import RequestTrace
    from deployments.telemetry.tracing.tracer import Tracer

_CONVERTOR = re.compile(r":\w+}")  # in a path of Starlette's: `{below:below}`
_PROPAGATED = (b"traceparent", b"tracestate")


class RequestSpans:
    """Of one application.

    Args:
        tracer: of this process.
        paths: that reach the model, shortest first; none for the gateway, whose paths have patterns.
    """

    def __init__(self, tracer: "Tracer", paths: Sequence[str] = ()) -> None:
        self._tracer = tracer
        self._paths = paths[::-1]

    def begin(self, scope: Scope, request_id: str) -> "RequestTrace | None":
        """A request has come; None for one that is not posted, and so asks no model."""
        if scope["method"] != "POST":
            return None
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _PROPAGATED}
        told = {
            names.METHOD: "POST",
            names.PATH: scope["path"],
            names.SCHEME: scope.get("scheme", "http"),
            names.REQUEST_ID: request_id,
        }
        return self._tracer.request("POST", headers, told)

    def end(self, scope: Scope, record: Record) -> None:
        """It is over; `record` says how."""
        trace = record.trace
        if trace is None:
            return
        told = _of_answer(record)
        route = self._route(scope)
        if route is not None:
            told[names.ROUTE] = route
            trace.rename(f"POST {route}")
        if record.status == CANCELLED:
            told[names.ERROR] = "cancelled"
        elif record.status:
            told[names.STATUS] = record.status
        trace.end(told, str(record.status) if record.status >= 500 else None)

    def _route(self, scope: Scope) -> str | None:
        """The request's path without what differs from one to the next."""
        matched = getattr(scope.get("route"), "path", None)
        if matched is not None:
            return _CONVERTOR.sub("}", matched)
        return next((path for path in self._paths if scope["path"].startswith(path)), None)


def _of_answer(record: Record) -> dict[str, str | int | float]:
    """What a model's answer took. Nothing of what it says."""
    answer = record.answer
    if answer is None:
        return {}
    told: dict[str, str | int | float] = {
        names.BATCH_ROWS: answer.batch_rows,
        names.PADDING: answer.padding_ratio,
        names.ITEMS: answer.items,
    }
    if answer.tokens is not None:
        told[names.TOKENS_IN], written = answer.tokens
        if written is not None:
            told[names.TOKENS_OUT] = written
    return told


def with_trace(headers: Sequence[tuple[bytes, bytes]], trace: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers that let who reads them go on with a trace, in place of one that they may name."""
    others = [(name, value) for name, value in headers if name not in _PROPAGATED]
    return others + [(name.encode(), value.encode()) for name, value in trace.items()]
