"""ASGI messages: request headers, the body within its limit, and a JSON response."""

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from deployments.errors import BodyTimeout, InvalidInput, MalformedRequest, TooLarge
from serve.config.service import BodyLimit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

TIMEOUT_HEADER = b"timeout"


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a request header; `name` in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


def media_type(content_type: str) -> str:
    """The media type in a `Content-Type`: in lower case, without parameters."""
    return content_type.split(";")[0].strip().lower()


async def read_body(scope: Scope, receive: Receive, limit: BodyLimit) -> bytes:
    """The whole body, refused as soon as it is known to be over the limit.

    Raises:
        TooLarge: the declared or the received length is over the limit.
        BodyTimeout: the body did not arrive in time.
        MalformedRequest: the client disconnected before the end.
    """
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdecimal() and int(declared) > limit.size:
        raise TooLarge(f"the body has {int(declared):,} bytes; the limit is {limit.size:,}")
    try:
        async with asyncio.timeout(limit.seconds):
            return await _read_chunks(receive, limit.size)
    except TimeoutError:
        raise BodyTimeout(f"the body did not arrive within {limit.seconds:g} s") from None


async def _read_chunks(receive: Receive, max_bytes: int) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedRequest("the body was cut short")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(f"the body has more than {max_bytes:,} bytes, which is the limit")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks) if len(chunks) > 1 else chunk


async def send_json(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send a whole JSON response."""
    fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fixed + headers})
    await send({"type": "http.response.body", "body": body})


def new_request_id() -> str:
    return uuid.uuid4().hex


def request_id(scope: Scope) -> str:
    """The client's `x-request-id`, or a new one."""
    return header(scope, b"x-request-id") or new_request_id()


def request_timeout(scope: Scope, max_s: float) -> float:
    """Seconds that a request may take: its `timeout` header, but never more than `max_s`.

    Raises:
        InvalidInput: the header is not a number above 0.
    """
    value = header(scope, TIMEOUT_HEADER)
    if value is None:
        return max_s
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise InvalidInput(f"timeout: the header should be a number of seconds above 0, not {value[:40]!r}")
    return min(seconds, max_s)
