"""One line for each request: what it was, what became of it and what it took. Never inputs, and never keys."""

import logging
from collections.abc import Callable
from typing import Any

from deployments.logs import FIELDS, REQUESTS
from deployments.observer import Observer
from serve.access import Ended
from serve.messages import Scope, header
from serve.record import Record
from serve.routes import Route

logger = logging.getLogger(REQUESTS)


def told_of_model(observer: Observer, route: Route) -> Ended:
    """Measures and logs the requests to a model: those that were posted, since others only describe it."""
    named = {"model": route.model, "task": route.task}

    def ended(scope: Scope, record: Record) -> None:
        if scope["method"] != "POST":
            return
        seconds = record.seconds
        observer.ended(record.outcome, record.status, seconds)
        _log(scope, record, named, seconds)

    return ended


def told_of_gateway(count: Callable[[Scope, Record, float], None]) -> Ended:
    """Counts what came to the gateway, and logs what it answered itself and could not answer well."""

    def ended(scope: Scope, record: Record) -> None:
        seconds = record.seconds
        count(scope, record, seconds)
        if not record.is_passed_on and record.status >= 400:
            _log(scope, record, {}, seconds)

    return ended


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
