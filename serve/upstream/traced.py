"""TracedReplicas: records a client span for every request to a replica."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

from deployments.telemetry.tracing import attributes as names
from deployments.telemetry.tracing.attributes import error_type
from serve.http.messages import Headers
from serve.http.request_context import current_context
from serve.middleware.tracing import with_trace
from serve.routes import Route
from serve.upstream.replicas import Replicas, Reply, StreamedReply

if TYPE_CHECKING:
    from deployments.telemetry.tracing.call_trace import RequestTrace


class TracedReplicas:
    """Passes requests on to `replicas`, which continue the trace below the span that is recorded here."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    async def request(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> Reply:
        """The whole response."""
        span = _start_span(route)
        if span is None:
            return await self._replicas.request(route, method, headers, body, below)
        with _ended_on_error(span):
            reply = await self._replicas.request(route, method, with_trace(headers, span.headers), body, below)
        _end(span, reply.status)
        return reply

    async def stream(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> StreamedReply:
        """The response chunk by chunk; the span ends with the last one."""
        span = _start_span(route)
        if span is None:
            return await self._replicas.stream(route, method, headers, body, below)
        with _ended_on_error(span):
            streamed = await self._replicas.stream(route, method, with_trace(headers, span.headers), body, below)

        async def chunks() -> AsyncGenerator[bytes, None]:
            try:
                async with aclosing(streamed.chunks) as source:
                    async for chunk in source:
                        yield chunk
            finally:
                _end(span, streamed.status)

        return StreamedReply(streamed.status, streamed.headers, chunks())


def _start_span(route: Route) -> "RequestTrace | None":
    trace = current_context().trace
    if trace is None:
        return None
    attributes = names.model_attributes(route.model, route.kind.name, route.kind.operation)
    return trace.client_span(f"{attributes[names.OPERATION]} {route.model}", attributes)


@contextmanager
def _ended_on_error(span: "RequestTrace") -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        is_cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
        span.end({}, "cancelled" if is_cancelled else error_type(error))
        raise


def _end(span: "RequestTrace", status: int) -> None:
    span.end({names.STATUS: status}, str(status) if status >= 400 else None)
