"""ASGI messages: reading a body within a limit, sending an answer. The few lines that every route needs."""

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


def header(scope: Scope, name: bytes) -> str | None:
    """A request header's value; `name` in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


async def read_body(scope: Scope, receive: Receive, limit: BodyLimit) -> bytes:
    """The whole body, refused as soon as it is known to be over the limit.

    Raises:
        TooLarge: declared or sent longer than the limit.
        BodyTimeout: it did not come in time.
        MalformedRequest: the client stopped before the end.
    """
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdecimal() and int(declared) > limit.size:
        raise TooLarge(f"the body has {int(declared):,} bytes; at most {limit.size:,} are read")
    try:
        async with asyncio.timeout(limit.seconds):
            return await _pieces(receive, limit.size)
    except TimeoutError:
        raise BodyTimeout(f"the body did not come within {limit.seconds:g} s") from None


async def _pieces(receive: Receive, limit: int) -> bytes:
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedRequest("the body was cut short")
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the body has more than {limit:,} bytes; at most so many are read")
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces) if len(pieces) > 1 else piece


async def send_json(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """One whole JSON answer."""
    fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fixed + headers})
    await send({"type": "http.response.body", "body": body})


def new_request_id() -> str:
    return uuid.uuid4().hex


def request_id(scope: Scope) -> str:
    """`x-request-id` as it was sent, else a new one."""
    return header(scope, b"x-request-id") or new_request_id()


HEADER = b"timeout"


def timeout_of(scope: Scope, most: float) -> float:
    """Seconds until a request has to be answered.

    Args:
        scope: of the request; its header `timeout` has seconds.
        most: the service's own limit; no header goes beyond it.

    Raises:
        InvalidInput: the header is no number above 0.
    """
    said = header(scope, HEADER)
    if said is None:
        return most
    try:
        seconds = float(said)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise InvalidInput(f"timeout: the header should be a number of seconds above 0, not {said[:40]!r}")
    return min(seconds, most)
