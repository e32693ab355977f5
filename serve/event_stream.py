"""Answers as server-sent events, in TGI's form: a `data:` line of JSON for each."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson

from serve.errors import error_answer
from serve.messages import Headers, Scope, Send
from serve.request_id import request_id
from serve.timing import total

EVENT_STREAM = "text/event-stream"
_FIXED: Headers = [
    (b"content-type", EVENT_STREAM.encode()),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for more
]


async def send_events(
    scope: Scope, send: Send, events: AsyncGenerator[Any, None], headers: Headers, began: float
) -> None:
    """Send events as they come; nothing is sent before the first one, so that an error until then has its own status.

    An error after that is an event itself, with what an error's body has. Ends the request when the client leaves.
    """
    async with aclosing(events):
        first = await anext(events)
        timing = (b"server-timing", total(began))  # until now: the rest is in the last event
        await send({"type": "http.response.start", "status": 200, "headers": [*_FIXED, *headers, timing]})
        try:
            await _send(send, first)
            async for event in events:
                await _send(send, event)
        except Exception as error:
            _, body, _ = error_answer(error, request_id(scope))
            await _send_line(send, body)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, event: Any) -> None:
    await _send_line(send, orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY))


async def _send_line(send: Send, line: bytes) -> None:
    await send({"type": "http.response.body", "body": b"data:" + line + b"\n\n", "more_body": True})
