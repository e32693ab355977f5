"""Spans of one request: `RequestTrace` in each process that it passes, `CallTrace` for the stages of its model call.

Stages are recorded when they are over: until then a call pays only for the timestamps that it takes anyway.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from deployments.telemetry.measurements import Answer
from deployments.telemetry.tracing import attributes as names
from deployments.telemetry.tracing.attributes import error_type, unix_ns

_W3C = TraceContextTextMapPropagator()


class Timed(Protocol):
    """The rows of one item on their way through the model. Times are `time.monotonic()`, 0 until they are known."""

    submitted: float
    started: float
    finished: float
    error: BaseException | None
    trace: "CallTrace | None"


class CallTrace:
    """Told by a `Call` from its threads. Moments are `time.monotonic()`.

    Attributes:
        context: of the request's span, to which batches link.
        batches: those that had rows of this call.
    """

    def __init__(self, tracer: Tracer, request: Span) -> None:
        self._tracer = tracer
        self._request = request
        self._parent = set_span_in_context(request, Context())
        self._came = time.monotonic()
        self._has_first_token = False
        self.context: SpanContext = request.get_span_context()
        self.batches: list[SpanContext] = []

    def prepared(self, began: float, jobs: Sequence[Timed]) -> None:
        """Items are rows now: batches shall find this call by its jobs."""
        self._stage("preprocess", began, time.monotonic())
        for job in jobs:
            job.trace = self

    def preprocess_failed(self, began: float, error: BaseException) -> None:
        """An item could not be made into rows."""
        self._stage("preprocess", began, time.monotonic(), error=error)

    def first_token(self, moment: float) -> None:
        """The first token of the answer came; heard once."""
        if self._has_first_token:
            return
        self._has_first_token = True
        seconds = {names.FIRST_CHUNK: round(moment - self._came, 6)}
        self._request.add_event(names.FIRST_TOKEN, seconds, unix_ns(moment))
        self._request.set_attributes(seconds)

    def answered(self, jobs: Sequence[Timed], answer: Answer, began: float) -> None:
        """Outputs are an answer now, of which the making `began` when the model was done."""
        if jobs:
            told = {names.BATCH_ROWS: answer.batch_rows, names.PADDING: answer.padding_ratio}
            started = self._in_model(jobs, None, told)
            if answer.pace is not None:
                self.first_token(started + answer.pace.first_token_s)
        self._stage("postprocess", began, time.monotonic())

    def failed(self, jobs: Sequence[Timed], error: BaseException) -> None:
        """The call is over without an answer; jobs show how far it came."""
        if not jobs or not jobs[0].submitted:
            return
        is_through = all(job.finished and job.error is None for job in jobs)
        self._in_model(jobs, None if is_through else error, {})
        if is_through:
            self._stage("postprocess", max(job.finished for job in jobs), time.monotonic(), error=error)

    def _in_model(
        self, jobs: Sequence[Timed], error: BaseException | None, attributes: Mapping[str, AttributeValue]
    ) -> float:
        """Spans of the line and of the model; the moment at which the model began."""
        now = time.monotonic()
        started = min((job.started for job in jobs if job.started), default=0.0)
        if not started:
            self._stage("queue", jobs[0].submitted, now, error=error)
            return now
        ended = now if error is not None else max(job.finished for job in jobs)
        self._stage("queue", jobs[0].submitted, started)
        self._stage("forward", started, ended, attributes, self.batches, error)
        return started

    def _stage(
        self,
        name: str,
        began: float,
        ended: float,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[SpanContext] = (),
        error: BaseException | None = None,
    ) -> None:
        span = self._tracer.start_span(
            name, self._parent, attributes=attributes, links=[Link(each) for each in links], start_time=unix_ns(began)
        )
        if error is not None:
            span.set_attribute(names.ERROR, error_type(error))
            span.set_status(Status(StatusCode.ERROR))
        span.end(unix_ns(ended))


class RequestTrace:
    """One request in one process.

    Attributes:
        trace_id: 32 hexadecimal digits, the same in every process that it goes through.
        span_id: 16 hexadecimal digits.
    """

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"

    def call(self) -> CallTrace | None:
        """For one call of the model; None where this trace is not kept."""
        return CallTrace(self._tracer, self._span) if self._span.is_recording() else None

    def asking(self, name: str, attributes: Mapping[str, AttributeValue]) -> "RequestTrace":
        """A span for what is asked of another process; `headers` lets that one go on below it."""
        context = set_span_in_context(self._span, Context())
        span = self._tracer.start_span(name, context=context, kind=SpanKind.CLIENT, attributes=attributes)
        return RequestTrace(self._tracer, span)

    @property
    def headers(self) -> dict[str, str]:
        """`traceparent`, and `tracestate` if there is any."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, context=set_span_in_context(self._span, Context()))
        return carrier

    def rename(self, name: str) -> None:
        """Once it is known better."""
        self._span.update_name(name)

    def end(self, attributes: Mapping[str, AttributeValue], error: str | None = None) -> None:
        """The span is over.

        Args:
            attributes: what it says beside what it was begun with.
            error: the kind of the error that it ended with, if that was our fault.
        """
        self._span.set_attributes(attributes)
        if error is not None:
            self._span.set_attribute(names.ERROR, error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
