"""Sender: hands spans to a collector, and says once that it cannot, and once that it can again."""

import logging
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

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
