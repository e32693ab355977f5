"""Server-sent events: a `data:` line of JSON for each event.

Nothing is sent before the first event is there, so that an error until then has a status of its own.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import orjson
from starlette.responses import StreamingResponse

from serve.http.errors import error_content
from serve.http.messages import Headers, Scope, Send, request_id
from serve.http.request_context import CANCELLED, current_context

EVENT_STREAM = "text/event-stream"
TGI_PREFIX = b"data:"  # without OpenAI's space
PREFIX = b"data: "
_HEADERS = {
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would buffer the events
}

Events = AsyncGenerator[Any, None]


async def send_events(scope: Scope, send: Send, events: Events, headers: Callable[[], Headers]) -> None:
    """Send events in TGI's form. Closes `events` when the client disconnects.

    Args:
        scope: of the request.
        send: of the ASGI application.
        events: to send. If they raise after the first one, the error object is the last event.
        headers: the response's headers, read when the first event is there.
    """

    def error_event(error: Exception) -> dict[str, Any]:
        current_context().status, content, _ = error_content(error, request_id(scope))
        return content

    async with aclosing(events):
        lines = await _encode(events, TGI_PREFIX, on_error=error_event)
        fixed = [(b"content-type", EVENT_STREAM.encode())]
        fixed += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*fixed, *headers()]})
            async for line in lines:
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:  # how a server reports that the client has disconnected
            current_context().status = CANCELLED


async def event_response(events: Events, end: bytes = b"") -> StreamingResponse:
    """Events as a Starlette response.

    Args:
        events: to send; their errors are events, too, except before the first one.
        end: sent after the last event.
    """
    return StreamingResponse(await _encode(events, PREFIX, end=end), media_type=EVENT_STREAM, headers=_HEADERS)


async def _encode(
    events: Events, prefix: bytes, *, on_error: Callable[[Exception], Any] | None = None, end: bytes = b""
) -> AsyncGenerator[bytes, None]:
    """Wait for the first event; then the lines of all events."""
    first = await anext(events)

    def line(event: Any) -> bytes:
        return prefix + orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n\n"

    async def lines() -> AsyncGenerator[bytes, None]:
        async with aclosing(events):
            yield line(first)
            try:
                async for event in events:
                    yield line(event)
            except Exception as error:
                if on_error is None:
                    raise
                yield line(on_error(error))
                return
            if end:
                yield end

    return lines()
