"""TracedUpstream: replicas whose every answer is a span of the request that it is asked for."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from deployments.telemetry.tracing import attributes as names
from deployments.telemetry.tracing.attributes import error_type
from serve.http.messages import Headers
from serve.http.request_context import current
from serve.middleware.tracing import with_trace
from serve.routes import Route
from serve.upstream.replicas import Replicas, Reply, StreamedReply

if TYPE_CHECKING:
    from deployments.telemetry.tracing.call_trace import RequestTrace


class TracedUpstream:
    """Asks as `upstream` does. Replicas go on with the trace, below the span that is written here."""

    def __init__(self, upstream: Replicas) -> None:
        self._upstream = upstream

    async def ask(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> Reply:
        """The whole answer, or what `Upstream.ask` raises."""
        span = _begun(route)
        if span is None:
            return await self._upstream.ask(route, method, headers, body, below)
        try:
            reply = await self._upstream.ask(route, method, with_trace(headers, span.headers), body, below)
        except BaseException as error:
            span.end({}, _kind(error))
            raise
        _end(span, reply.status)
        return reply

    async def stream(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> StreamedReply:
        """The answer piece by piece, or what `Upstream.stream` raises; the span ends with its last piece."""
        span = _begun(route)
        if span is None:
            return await self._upstream.stream(route, method, headers, body, below)
        try:
            streamed = await self._upstream.stream(route, method, with_trace(headers, span.headers), body, below)
        except BaseException as error:
            span.end({}, _kind(error))
            raise

        async def pieces() -> AsyncGenerator[bytes, None]:
            try:
                async with aclosing(streamed.pieces) as coming:
                    async for piece in coming:
                        yield piece
            finally:
                _end(span, streamed.status)

        return StreamedReply(streamed.status, streamed.headers, pieces())


def _begun(route: Route) -> "RequestTrace | None":
    trace = current().trace
    if trace is None:
        return None
    told = names.model_attributes(route.model, route.kind.name, route.kind.operation)
    return trace.client_span(f"{told[names.OPERATION]} {route.model}", told)


def _end(span: "RequestTrace", status: int) -> None:
    span.end({names.STATUS: status}, str(status) if status >= 400 else None)


def _kind(error: BaseException) -> str:
    return "cancelled" if isinstance(error, asyncio.CancelledError | GeneratorExit) else error_type(error)
