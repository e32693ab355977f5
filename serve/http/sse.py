"""Answers as server-sent events, in TGI's form: a `data:` line of JSON for each."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import orjson

from serve.http.errors import error_answer
from serve.http.messages import Headers, Scope, Send, request_id
from serve.http.request_context import CANCELLED, current

EVENT_STREAM = "text/event-stream"
_FIXED: Headers = [
    (b"content-type", EVENT_STREAM.encode()),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for more
]


async def send_events(
    scope: Scope, send: Send, events: AsyncGenerator[Any, None], headers: Callable[[], Headers]
) -> None:
    """Send events as they come; nothing is sent before the first one, so that an error until then has its own status
    and `headers`, which are asked for then, can tell what it took.

    An error after that is an event itself, with what an error's body has. Ends the request when the client leaves.
    """
    async with aclosing(events):
        line: bytes | None = _line(await anext(events))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*_FIXED, *headers()]})
            while line is not None:
                await send({"type": "http.response.body", "body": line, "more_body": True})
                line = await _next_line(events, scope)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:  # so a server says that the client has gone
            current().status = CANCELLED


async def _next_line(events: AsyncGenerator[Any, None], scope: Scope) -> bytes | None:
    """The next event, or the error that came instead; None behind it and behind the last event."""
    try:
        return _line(await anext(events))
    except StopAsyncIteration:
        return None
    except Exception as error:
        current().status, body, _ = error_answer(error, request_id(scope))
        return _data(body)


def _line(event: Any) -> bytes:
    return _data(orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY))


def _data(json: bytes) -> bytes:
    return b"data:" + json + b"\n\n"
