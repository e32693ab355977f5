"""Spans for tests: kept in this process, or received as a collector receives them."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deployments.telemetry.tracing.export import sampler
from deployments.telemetry.tracing.tracer import Tracer
from tests.quiet_server import QuietServer

KINDS = {1: "internal", 2: "server", 3: "client"}


@dataclass(frozen=True, slots=True)
class Spanned:
    """A span as it was exported; ids are hexadecimal, times nanoseconds since 1970."""

    name: str
    kind: str
    trace: str
    span: str
    parent: str
    began: int
    ended: int
    links: frozenset[tuple[str, str]]
    attributes: dict[str, Any]
    events: dict[str, dict[str, Any]]
    is_error: bool
    process: str
    state: str


class KeptSpans:
    """What a tracer of this process writes."""

    def __init__(self, ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler(ratio), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Tracer(provider, {"gen_ai.request.model": "small"})

    @property
    def spans(self) -> list[Any]:
        """In the order in which they ended."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


class Collector:
    """An OTLP receiver over HTTP on a free loopback port; a context manager."""

    def __init__(self) -> None:
        received = self.requests = list[ExportTraceServiceRequest]()
        paths = self.paths = set[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append(ExportTraceServiceRequest.FromString(body))
                paths.add(self.path)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Collector":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def spans(self) -> list[Spanned]:
        return [
            _spanned(span, _plain(group.resource.attributes))
            for request in list(self.requests)
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def wait_for(self, holds: Callable[[list[Spanned]], bool], seconds: float = 30.0) -> list[Spanned]:
        """The spans once they are those that a test waits for."""
        end = time.monotonic() + seconds
        while not holds(spans := self.spans):
            assert time.monotonic() < end, "\n".join(f"{span.trace} {span.kind} {span.name}" for span in spans)
            time.sleep(0.1)
        return spans


def _spanned(span: Any, resource: dict[str, Any]) -> Spanned:
    return Spanned(
        name=span.name,
        kind=KINDS[span.kind],
        trace=span.trace_id.hex(),
        span=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        links=frozenset((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        attributes=_plain(span.attributes),
        events={event.name: _plain(event.attributes) for event in span.events},
        is_error=span.status.code == 2,
        process=resource["service.instance.id"],
        state=span.trace_state,
    )


def _plain(attributes: Iterable[Any]) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
