"""Which spans are sampled, and how they are sent to a collector.

A request is sampled as its caller decided, else with the configured ratio; a batch is sampled with any of its requests.
"""

import logging
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

logger = logging.getLogger(__name__)

# They log every attempt to send and every span dropped from a full queue.
NOISY_LOGGERS = ("opentelemetry.exporter", "opentelemetry.sdk")


class RootSampler(Sampler):
    """Decides for spans without a parent.

    Args:
        ratio: share of requests that are sampled, 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        self._requests = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """A span with links is a batch, sampled if one of its requests is."""
        chosen: Sampler = self._requests
        if links:
            chosen = ALWAYS_ON if any(link.context.trace_flags.sampled for link in links) else ALWAYS_OFF
        return chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"RootSampler{{{self._requests.get_description()}}}"


def sampler(ratio: float) -> Sampler:
    """Follow the caller's decision (`traceparent`), else sample with `ratio`."""
    return ParentBased(RootSampler(ratio))


class Sender(SpanExporter):
    """Sends spans, on the thread of the batch processor; drops spans that cannot be sent.

    Args:
        exporter: to send with.
        endpoint: of the collector, for the log.
    """

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        for name in NOISY_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._exporter = exporter
        self._endpoint = endpoint
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._is_failing:
            logger.warning("traces cannot be sent to %s and are dropped until they can", self._endpoint)
        elif self._is_failing and not failed:
            logger.info("traces are sent to %s again", self._endpoint)
        self._is_failing = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
