"""Which spans are kept, and how they are sent to a collector.

Kept is what a caller decided, a share of what nobody decided, and every batch of a request that is kept.
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


class RootSampler(Sampler):
    """Decides for spans without a parent.

    Args:
        ratio: share of requests that are kept, 0 to 1.
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
        """A batch, which is what has links, is kept if one of its requests is."""
        chosen: Sampler = self._requests
        if links:
            chosen = ALWAYS_ON if any(link.context.trace_flags.sampled for link in links) else ALWAYS_OFF
        return chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"RootSampler{{{self._requests.get_description()}}}"


def sampler(ratio: float) -> Sampler:
    """What a caller decided holds (`traceparent`); of the rest `ratio` is kept."""
    return ParentBased(RootSampler(ratio))


logger = logging.getLogger(__name__)

# They tell of every try and of every span that finds the queue full.
NOISY = ("opentelemetry.exporter", "opentelemetry.sdk")


class Sender(SpanExporter):
    """Runs on the thread of the batch processor; what cannot be sent is dropped.

    Args:
        exporter: that sends.
        where: the collector, for the log.
    """

    def __init__(self, exporter: SpanExporter, where: str) -> None:
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._exporter = exporter
        self._where = where
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._is_failing:
            logger.warning("traces cannot be sent to %s and are dropped until they can", self._where)
        elif self._is_failing and not failed:
            logger.info("traces are sent to %s again", self._where)
        self._is_failing = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
