"""Limits on what requests may bring: the size of their headers, and the memory of all large bodies together."""

from typing import Any

from deployments.batching.drain_rate import DrainRate
from deployments.errors import HeadersTooLarge, Overloaded
from serve.http.content_encoding import MAX_RATIO
from serve.http.errors import send_error
from serve.http.messages import Receive, Scope, Send, header

BYTES_PER_HEADER = 4  # `: ` and the line ending
SMALL_BODY = 64 * 1024  # bytes; smaller bodies are not counted, as the number of requests bounds them


class HeaderLimitMiddleware:
    """Refuses requests whose path and headers are too large.

    Args:
        app: the application.
        max_bytes: of path and headers together.
    """

    def __init__(self, app: Any, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            size = sum([len(name) + len(value) + BYTES_PER_HEADER for name, value in scope["headers"]])
            size += len(scope["path"]) + len(scope["query_string"])
            if size > self._max_bytes:
                message = f"the headers have {size:,} bytes; the limit is {self._max_bytes:,} (`limits.max_header_kb`)"
                await send_error(scope, send, HeadersTooLarge(message))
                return
        await self._app(scope, receive, send)


class BodyMemoryMiddleware:
    """Bounds the bodies of all requests in progress. A body counts until its response is complete.

    A body is counted before it is read, by its declared length, or if it is compressed, by the most that it may become.
    A chunked one counts as the largest allowed body.

    Args:
        app: the application.
        max_bytes: of all bodies together.
        max_body_bytes: of one body; the application refuses larger ones.
    """

    def __init__(self, app: Any, max_bytes: int, max_body_bytes: int) -> None:
        self._app = app
        self._max_bytes = max(max_bytes, max_body_bytes)
        self._max_body_bytes = max_body_bytes
        self._held = DrainRate()  # in bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = self._body_size(scope) if scope["type"] == "http" else 0
        if size <= SMALL_BODY:
            await self._app(scope, receive, send)
            return
        if self._held.in_progress + size > self._max_bytes:
            message = f"requests in progress hold {self._held.in_progress:,.0f} bytes of bodies; retry later"
            await send_error(scope, send, Overloaded(message, retry_after=self._held.retry_after()))
            return
        self._held.enter(size)
        try:
            await self._app(scope, receive, send)
        finally:
            self._held.leave(size, done=True)

    def _body_size(self, scope: Scope) -> int:
        declared = header(scope, b"content-length")
        if declared is not None and declared.isdecimal():
            ratio = 1 if header(scope, b"content-encoding") is None else MAX_RATIO
            return min(int(declared) * ratio, self._max_body_bytes)
        return self._max_body_bytes if header(scope, b"transfer-encoding") else 0
