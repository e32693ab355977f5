"""Set up tracing in a process. Without a collector there is no tracer, and OpenTelemetry's SDK is not imported."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from deployments.config import Tracing
from deployments.telemetry.tracing.attributes import PROVIDER_NAME

if TYPE_CHECKING:
    from deployments.telemetry.tracing.tracer import Tracer

PATH = "/v1/traces"  # OTLP's own, below the collector's address
SEND_S = 5.0  # for one try to send
EXPORT_INTERVAL_MS = 1000.0
MAX_QUEUED_SPANS = 16_384  # spans that wait to be sent; what comes on top is dropped
MAX_EXPORTED_SPANS = 512


def open_tracer(settings: Tracing, instance: str, attributes: Mapping[str, str] | None = None) -> "Tracer | None":
    """The tracer of this process; None where nothing is traced.

    Args:
        settings: where to, and how much.
        instance: what tells this process from the others of the service, such as a replica's id.
        attributes: what every span of a request or a batch says here.
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
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before.
        resource=Resource.create(own).merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,  # `Tracer.close` does it, in its own time
        span_limits=SpanLimits(max_links=SpanLimits.UNSET),  # a batch leads to all of its requests
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
