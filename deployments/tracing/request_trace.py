"""RequestTrace: the span of a request, and what goes below it."""

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from deployments.tracing import attributes as names
from deployments.tracing.call_trace import CallTrace

_W3C = TraceContextTextMapPropagator()


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
