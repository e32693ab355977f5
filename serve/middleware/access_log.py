"""One line for each request: what it was, what became of it and what it took. Never inputs, and never keys.

Under a load of many times what a model can answer, nearly every request is refused, and a line for each would cost as
much as the refusal. Of refusals at most one a second is told of, with the number of those since the one before, and of
those that HAProxy refused for the replica.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import Any

from deployments.telemetry.logs import FIELDS, REQUESTS
from deployments.telemetry.observer import Observer
from serve.cluster.haproxy_gate import REFUSED_BEFORE
from serve.http.messages import Scope, header
from serve.http.request_context import Record
from serve.middleware.request_context import Ended
from serve.routes import Route

logger = logging.getLogger(REQUESTS)

REFUSALS_S = 1.0  # between two lines for refusals of a model
LONGEST = 9  # digits that the number of refusals in front may have, should anybody but HAProxy tell it


def told_of_model(observer: Observer, route: Route) -> Ended:
    """Measures and logs the requests to a model: those that were posted, since others only describe it."""
    named = {"model": route.model, "task": route.task}
    refused = _Seldom(REFUSALS_S)

    def ended(scope: Scope, record: Record) -> None:
        if scope["method"] != "POST":
            return
        seconds = record.seconds
        observer.ended(record.outcome, record.status, seconds)
        if before := _refused_before(scope):
            observer.refused_before(before)
            refused.add(before)
        if record.outcome != "overloaded":
            _log(scope, record, named, seconds)
        elif times := refused.times():
            _log(scope, record, named | {"refused": times}, seconds)

    return ended


class _Seldom:
    """What happens often, and is told of once in a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._told_at = -math.inf
        self._times = 0

    def add(self, times: int) -> None:
        """It happened so often, elsewhere."""
        self._times += times

    def times(self) -> int:
        """It happened: how often since it was told of last, this time included; 0 while it is too early to tell."""
        self._times += 1
        now = time.monotonic()
        if now - self._told_at < self._seconds:
            return 0
        self._told_at, times, self._times = now, self._times, 0
        return times


def told_of_gateway(count: Callable[[Scope, Record, float], None]) -> Ended:
    """Counts what came to the gateway, and logs what it answered itself and could not answer well."""

    def ended(scope: Scope, record: Record) -> None:
        seconds = record.seconds
        count(scope, record, seconds)
        if not record.is_passed_on and record.status >= 400:
            _log(scope, record, {}, seconds)

    return ended


def _refused_before(scope: Scope) -> int:
    """How many requests HAProxy has refused since the one before."""
    told = header(scope, REFUSED_BEFORE.encode())
    return int(told) if told is not None and told.isdecimal() and len(told) <= LONGEST else 0


def _log(scope: Scope, record: Record, named: dict[str, Any], seconds: float) -> None:
    level = logging.INFO if record.status < 500 else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    fields = {
        "request_id": record.request_id,
        **({} if record.trace is None else {"trace_id": record.trace.trace_id, "span_id": record.trace.span_id}),
        **named,
        "method": scope["method"],
        "path": scope["path"],
        "status": record.status,
        "outcome": record.outcome,
        "total_ms": round(seconds * 1e3, 2),
        **_of_answer(record),
        "bytes_in": int(header(scope, b"content-length") or 0),
        "bytes_out": record.bytes_out,
    }
    message = f"{scope['method']} {scope['path']} {record.status}"
    # Not `logger.log`, which looks for the caller: half of what a line costs.
    entry = logger.makeRecord(logger.name, level, __file__, 0, message, (), None, extra={FIELDS: fields})
    logger.handle(entry)


def _of_answer(record: Record) -> dict[str, Any]:
    answer = record.answer
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
        fields["tokens_in"], written = answer.tokens
        if written is not None:
            fields["tokens_out"] = written
    return fields
