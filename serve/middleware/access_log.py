"""The access log: one line for each request, with its outcome and times. Never inputs, and never keys.

At many times the load that a model can answer, nearly every request is refused, and a line for each would cost as much
as the refusal. So at most one refusal a second is logged, with the number of refusals since the previous line,
including those that HAProxy refused on the replica's behalf.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import Any

from deployments.telemetry.logs import FIELDS, REQUESTS
from deployments.telemetry.observer import Observer
from serve.cluster.haproxy_overload import REFUSED_BEFORE
from serve.http.messages import Scope, header
from serve.http.request_context import RequestContext
from serve.middleware.request_context import OnRequestEnd
from serve.routes import Route

logger = logging.getLogger(REQUESTS)

REFUSALS_S = 1.0  # between two lines for refusals of a model
MAX_DIGITS = 9  # of the number of refusals in the header, should anybody but HAProxy set it


def model_request_logger(observer: Observer, route: Route) -> OnRequestEnd:
    """Measures and logs the POST requests to a model; others only describe it."""
    labels = {"model": route.model, "task": route.task}
    refusals = _ThrottledCount(REFUSALS_S)

    def on_end(scope: Scope, context: RequestContext) -> None:
        if scope["method"] != "POST":
            return
        seconds = context.seconds
        observer.ended(context.outcome, context.status, seconds)
        if before := _refused_before(scope):
            observer.refused_before(before)
            refusals.add(before)
        if context.outcome != "overloaded":
            _log(scope, context, labels, seconds)
        elif count := refusals.count():
            _log(scope, context, labels | {"refused": count}, seconds)

    return on_end


def gateway_request_logger(count: Callable[[Scope, RequestContext, float], None]) -> OnRequestEnd:
    """Counts the gateway's requests, and logs the errors that it answered itself."""

    def on_end(scope: Scope, context: RequestContext) -> None:
        seconds = context.seconds
        count(scope, context, seconds)
        if not context.is_proxied and context.status >= 400:
            _log(scope, context, {}, seconds)

    return on_end


class _ThrottledCount:
    """Counts frequent events, and reports the count at most once in some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._reported_at = -math.inf
        self._count = 0

    def add(self, count: int) -> None:
        """Add events that happened elsewhere."""
        self._count += count

    def count(self) -> int:
        """Add one event; the number since the last report if it is time for one, else 0."""
        self._count += 1
        now = time.monotonic()
        if now - self._reported_at < self._seconds:
            return 0
        self._reported_at, count, self._count = now, self._count, 0
        return count


def _refused_before(scope: Scope) -> int:
    """How many requests HAProxy has refused since the previous one that it passed on."""
    value = header(scope, REFUSED_BEFORE.encode())
    return int(value) if value is not None and value.isdecimal() and len(value) <= MAX_DIGITS else 0


def _log(scope: Scope, context: RequestContext, labels: dict[str, Any], seconds: float) -> None:
    level = logging.INFO if context.status < 500 else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    fields = {
        "request_id": context.request_id,
        **({} if context.trace is None else {"trace_id": context.trace.trace_id, "span_id": context.trace.span_id}),
        **labels,
        "method": scope["method"],
        "path": scope["path"],
        "status": context.status,
        "outcome": context.outcome,
        "total_ms": round(seconds * 1e3, 2),
        **_answer_fields(context),
        "bytes_in": int(header(scope, b"content-length") or 0),
        "bytes_out": context.bytes_out,
    }
    message = f"{scope['method']} {scope['path']} {context.status}"
    # Not `logger.log`, which looks up the caller: half of what a line costs.
    entry = logger.makeRecord(logger.name, level, __file__, 0, message, (), None, extra={FIELDS: fields})
    logger.handle(entry)


def _answer_fields(context: RequestContext) -> dict[str, Any]:
    answer = context.answer
    if answer is None:
        return {}
    fields = {
        "queue_ms": round(answer.queue_s * 1e3, 2),
        "preprocess_ms": round(answer.preprocess_s * 1e3, 2),
        "forward_ms": round(answer.forward_s * 1e3, 2),
        "postprocess_ms": round(answer.postprocess_s * 1e3, 2),
        "batch_rows": answer.batch_rows,
        "padding_ratio": round(answer.padding_ratio, 3),
        "items": answer.items,
    }
    if answer.tokens is not None:
        fields["tokens_in"], tokens_out = answer.tokens
        if tokens_out is not None:
            fields["tokens_out"] = tokens_out
    return fields
