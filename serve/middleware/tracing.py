"""RequestSpans: the HTTP side of a trace, a span for each POST request to an application."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from deployments.telemetry.tracing import attributes as names
from serve.http.messages import Scope
from serve.http.request_context import CANCELLED, RequestContext

if TYPE_CHECKING:
    from deployments.telemetry.tracing.call_trace import RequestTrace
    from deployments.telemetry.tracing.tracer import Tracer

_CONVERTOR = re.compile(r":\w+}")  # in a path of Starlette's: `{below:below}`
_PROPAGATED = (b"traceparent", b"tracestate")


class RequestSpans:
    """The request spans of one application.

    Args:
        tracer: of this process.
        paths: that reach the model, shortest first; none for the gateway, whose routes have patterns.
    """

    def __init__(self, tracer: "Tracer", paths: Sequence[str] = ()) -> None:
        self._tracer = tracer
        self._paths = paths[::-1]

    def begin(self, scope: Scope, request_id: str) -> "RequestTrace | None":
        """Start a span; None unless the method is POST, as other requests reach no model."""
        if scope["method"] != "POST":
            return None
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _PROPAGATED}
        attributes = {
            names.METHOD: "POST",
            names.PATH: scope["path"],
            names.SCHEME: scope.get("scheme", "http"),
            names.REQUEST_ID: request_id,
        }
        return self._tracer.request("POST", headers, attributes)

    def end(self, scope: Scope, context: RequestContext) -> None:
        """End the span with the outcome in `context`."""
        trace = context.trace
        if trace is None:
            return
        attributes = _answer_attributes(context)
        route = self._route(scope)
        if route is not None:
            attributes[names.ROUTE] = route
            trace.rename(f"POST {route}")
        if context.status == CANCELLED:
            attributes[names.ERROR] = "cancelled"
        elif context.status:
            attributes[names.STATUS] = context.status
        trace.end(attributes, str(context.status) if context.status >= 500 else None)

    def _route(self, scope: Scope) -> str | None:
        """The request's path without the parts that vary."""
        matched = getattr(scope.get("route"), "path", None)
        if matched is not None:
            return _CONVERTOR.sub("}", matched)
        return next((path for path in self._paths if scope["path"].startswith(path)), None)


def _answer_attributes(context: RequestContext) -> dict[str, str | int | float]:
    """Batch and token counts of a model's answer; nothing of its content."""
    answer = context.answer
    if answer is None:
        return {}
    attributes: dict[str, str | int | float] = {
        names.BATCH_ROWS: answer.batch_rows,
        names.PADDING: answer.padding_ratio,
        names.ITEMS: answer.items,
    }
    if answer.tokens is not None:
        attributes[names.TOKENS_IN], tokens_out = answer.tokens
        if tokens_out is not None:
            attributes[names.TOKENS_OUT] = tokens_out
    return attributes


def with_trace(headers: Sequence[tuple[bytes, bytes]], trace: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Request headers that continue a trace, in place of any trace that they name."""
    others = [(name, value) for name, value in headers if name not in _PROPAGATED]
    return others + [(name.encode(), value.encode()) for name, value in trace.items()]
