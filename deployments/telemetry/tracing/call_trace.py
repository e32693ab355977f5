"""Spans of one request: `RequestTrace` in each process that it passes, `CallTrace` for the stages of its model call.

Stages are recorded once they have ended, from timestamps that a call takes in any case.
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
    """The times of one item's rows, by `time.monotonic()`; 0 until they are known."""

    submitted: float
    started: float
    finished: float
    error: BaseException | None
    trace: "CallTrace | None"


class CallTrace:
    """Called by a `Call` from its threads. Times are `time.monotonic()`.

    Attributes:
        context: of the request's span, to which batches link.
        batches: spans of the batches with rows of this call.
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
        """Preprocessing has ended; batches find this call by its jobs."""
        self._stage("preprocess", began, time.monotonic())
        for job in jobs:
            job.trace = self

    def preprocess_failed(self, began: float, error: BaseException) -> None:
        """Preprocessing has failed."""
        self._stage("preprocess", began, time.monotonic(), error=error)

    def first_token(self, moment: float) -> None:
        """The first token of the answer was generated; later calls are ignored."""
        if self._has_first_token:
            return
        self._has_first_token = True
        seconds = {names.FIRST_CHUNK: round(moment - self._came, 6)}
        self._request.add_event(names.FIRST_TOKEN, seconds, unix_ns(moment))
        self._request.set_attributes(seconds)

    def answered(self, jobs: Sequence[Timed], answer: Answer, began: float) -> None:
        """The answer is rendered; its postprocessing `began` when the model was done."""
        if jobs:
            attributes = {names.BATCH_ROWS: answer.batch_rows, names.PADDING: answer.padding_ratio}
            started = self._in_model(jobs, None, attributes)
            if answer.pace is not None:
                self.first_token(started + answer.pace.first_token_s)
        self._stage("postprocess", began, time.monotonic())

    def failed(self, jobs: Sequence[Timed], error: BaseException) -> None:
        """The call has ended without an answer, at the stage that its jobs show."""
        if not jobs or not jobs[0].submitted:
            return
        is_through = all(job.finished and job.error is None for job in jobs)
        self._in_model(jobs, None if is_through else error, {})
        if is_through:
            self._stage("postprocess", max(job.finished for job in jobs), time.monotonic(), error=error)

    def _in_model(
        self, jobs: Sequence[Timed], error: BaseException | None, attributes: Mapping[str, AttributeValue]
    ) -> float:
        """Spans of the queue and of the forward; returns the time at which the forward began."""
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
        trace_id: 32 hexadecimal digits, the same in every process that the request passes.
        span_id: 16 hexadecimal digits.
    """

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"

    def call(self) -> CallTrace | None:
        """The trace of one call of the model; None if this trace is not sampled."""
        return CallTrace(self._tracer, self._span) if self._span.is_recording() else None

    def client_span(self, name: str, attributes: Mapping[str, AttributeValue]) -> "RequestTrace":
        """A client span for a request to another process, which continues the trace from `headers`."""
        context = set_span_in_context(self._span, Context())
        span = self._tracer.start_span(name, context=context, kind=SpanKind.CLIENT, attributes=attributes)
        return RequestTrace(self._tracer, span)

    @property
    def headers(self) -> dict[str, str]:
        """`traceparent`, and `tracestate` if there is one."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, context=set_span_in_context(self._span, Context()))
        return carrier

    def rename(self, name: str) -> None:
        """Rename the span."""
        self._span.update_name(name)

    def end(self, attributes: Mapping[str, AttributeValue], error: str | None = None) -> None:
        """End the span.

        Args:
            attributes: added to those that it was started with.
            error: type of the error that it ended with; None unless the service is at fault.
        """
        self._span.set_attributes(attributes)
        if error is not None:
            self._span.set_attribute(names.ERROR, error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
