"""CallTrace: the stages of a call of the model, as spans below its request's.

They are written down when they are over: until then a call pays for nothing but the times that it takes anyway.
"""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from deployments.tracing import attributes as names
from deployments.tracing.clock import of_day
from deployments.tracing.errors import error_type

if TYPE_CHECKING:
    from deployments.call import Answer
    from deployments.job import Job


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

    def prepared(self, began: float, jobs: "Sequence[Job]") -> None:
        """Items are rows now: batches shall find this call by its jobs."""
        self._stage("preprocess", began, time.monotonic())
        for job in jobs:
            job.trace = self

    def unreadable(self, began: float, error: BaseException) -> None:
        """An item could not be made into rows."""
        self._stage("preprocess", began, time.monotonic(), error=error)

    def first_token(self, moment: float) -> None:
        """The first token of the answer came; heard once."""
        if self._has_first_token:
            return
        self._has_first_token = True
        seconds = {names.FIRST_CHUNK: round(moment - self._came, 6)}
        self._request.add_event(names.FIRST_TOKEN, seconds, of_day(moment))
        self._request.set_attributes(seconds)

    def answered(self, jobs: "Sequence[Job]", answer: "Answer", began: float) -> None:
        """Outputs are an answer now, of which the making `began` when the model was done."""
        if jobs:
            told = {names.BATCH_ROWS: answer.batch_rows, names.PADDING: answer.padding_ratio}
            started = self._in_model(jobs, None, told)
            if answer.pace is not None:
                self.first_token(started + answer.pace.first_token_s)
        self._stage("postprocess", began, time.monotonic())

    def failed(self, jobs: "Sequence[Job]", error: BaseException) -> None:
        """The call is over without an answer; jobs show how far it came."""
        if not jobs or not jobs[0].submitted:
            return
        is_through = all(job.finished and job.error is None for job in jobs)
        self._in_model(jobs, None if is_through else error, {})
        if is_through:
            self._stage("postprocess", max(job.finished for job in jobs), time.monotonic(), error=error)

    def _in_model(
        self, jobs: "Sequence[Job]", error: BaseException | None, attributes: Mapping[str, AttributeValue]
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
            name, self._parent, attributes=attributes, links=[Link(each) for each in links], start_time=of_day(began)
        )
        if error is not None:
            span.set_attribute(names.ERROR, error_type(error))
            span.set_status(Status(StatusCode.ERROR))
        span.end(of_day(ended))
