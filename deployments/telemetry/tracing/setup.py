"""Set up tracing in a process. Without a collector there is no tracer, and OpenTelemetry's SDK is not imported."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from deployments.config import Tracing
from deployments.telemetry.tracing.attributes import PROVIDER_NAME

if TYPE_CHECKING:
    from deployments.telemetry.tracing.tracer import Tracer

PATH = "/v1/traces"  # OTLP's path, below the collector's address
SEND_S = 5.0  # timeout of one export
EXPORT_INTERVAL_MS = 1000.0
MAX_QUEUED_SPANS = 16_384  # further spans are dropped
MAX_EXPORTED_SPANS = 512


def open_tracer(settings: Tracing, instance: str, attributes: Mapping[str, str] | None = None) -> "Tracer | None":
    """The tracer of this process; None if nothing is traced.

    Args:
        settings: endpoint and sampling ratio.
        instance: identifies this process in the service, such as a replica's id.
        attributes: of every span of a request or a batch.
    """
    if settings.endpoint is None:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from deployments.telemetry.tracing.export import Sender, sampler
    from deployments.telemetry.tracing.tracer import Tracer

    own = {"service.name": PROVIDER_NAME, "service.version": version(PROVIDER_NAME), "service.instance.id": instance}
    provider = TracerProvider(
        sampler=sampler(settings.sample_ratio),
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
        resource=Resource.create(own).merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,  # `Tracer.close` does it, with a timeout
        span_limits=SpanLimits(max_links=SpanLimits.UNSET),  # a batch links to all of its requests
    )
    address = settings.endpoint.rstrip("/")
    exporter = OTLPSpanExporter(address if address.endswith(PATH) else address + PATH, timeout=SEND_S)
    provider.add_span_processor(
        BatchSpanProcessor(
            Sender(exporter, settings.endpoint),
            max_queue_size=MAX_QUEUED_SPANS,
            schedule_delay_millis=EXPORT_INTERVAL_MS,
            max_export_batch_size=MAX_EXPORTED_SPANS,
        )
    )
    return Tracer(provider, attributes or {})
