"""Tracer: starts the spans of one process."""

import threading
from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from deployments.telemetry.measurements import BatchReport
from deployments.telemetry.tracing import attributes as names
from deployments.telemetry.tracing.attributes import error_type, unix_ns
from deployments.telemetry.tracing.call_trace import CallTrace, RequestTrace

CLOSE_S = 3.0  # to send the remaining spans

_W3C = TraceContextTextMapPropagator()


class Tracer:
    """Starts the spans of requests and batches. Thread-safe; spans are sent from a thread of their own.

    Args:
        provider: of OpenTelemetry's SDK, with sampler and exporter; closed with this tracer.
        attributes: of every span of a request or a batch.
    """

    def __init__(self, provider: TracerProvider, attributes: Mapping[str, str]) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(names.PROVIDER_NAME)
        self._attributes = attributes

    def request(self, name: str, headers: Mapping[str, str], attributes: Mapping[str, str]) -> RequestTrace:
        """Start the span of an incoming request, in the trace that its headers name, if any.

        Args:
            name: of the span.
            headers: of the request, with `traceparent` and `tracestate` if it has them.
            attributes: of this span.
        """
        all_attributes = {**self._attributes, **attributes}
        caller = _W3C.extract(headers, context=Context())
        span = self._tracer.start_span(name, context=caller, kind=SpanKind.SERVER, attributes=all_attributes)
        return RequestTrace(self._tracer, span)

    def batch(
        self,
        calls: Sequence[CallTrace | None],
        items: int,
        began: float,
        report: BatchReport | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Model thread: record the span of a batch, if one of its requests is traced.

        It is a trace of its own with a link to each request; each request's forward span links back to it.

        Args:
            calls: of each row; None for a request that is not traced.
            items: number of items that the rows belong to.
            began: `time.monotonic()`.
            report: of the batch; None if it failed.
            error: that it failed with.
        """
        traces = {id(call): call for call in calls if call is not None}
        if not traces:
            return
        links = [Link(trace.context) for trace in traces.values()]
        attributes: dict[str, AttributeValue] = {
            **self._attributes,
            names.BATCH_ROWS: len(calls),
            names.BATCH_ITEMS: items,
        }
        if report is not None:
            attributes |= {names.BATCH_COST: report.cost, names.PADDING: report.padding_ratio}
        span = self._tracer.start_span(
            "batch", Context(), links=links, attributes=attributes, start_time=unix_ns(began)
        )
        if error is not None:
            span.set_attribute(names.ERROR, error_type(error))
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        for trace in traces.values():
            trace.batches.append(span.get_span_context())

    def close(self) -> None:
        """Send the remaining spans; waits for at most `CLOSE_S`."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
