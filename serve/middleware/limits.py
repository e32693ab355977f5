"""Limits on what a request may bring: the size of its headers, and the memory that all large bodies take together."""

from typing import Any

from deployments.batching.drain_rate import DrainRate
from deployments.errors import HeadersTooLarge, Overloaded
from serve.http.errors import error_answer
from serve.http.messages import Receive, Scope, Send, header, request_id, send_json

PER_HEADER = 4  # `: ` and the end of the line


class HeaderLimit:
    """Lets requests through whose path and headers have at most so many bytes together.

    Args:
        app: what they go to.
        most: bytes.
    """

    def __init__(self, app: Any, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            size = sum([len(name) + len(value) + PER_HEADER for name, value in scope["headers"]])
            size += len(scope["path"]) + len(scope["query_string"])
            if size > self._most:
                told = f"the headers have {size:,} bytes; at most {self._most:,} are read (`limits.max_header_kb`)"
                await send_json(send, *error_answer(HeadersTooLarge(told), request_id(scope)))
                return
        await self._app(scope, receive, send)


SMALL = 64 * 1024  # bytes of a body that is not counted: the number of requests bounds those


class BodyMemory:
    """Lets requests through while the bodies of those under way are below a bound; a body counts until its answer.

    A body is counted before it is read, by the length that it declares. One that comes in chunks may become as long as
    any may be, and counts as that.

    Args:
        app: what they go to.
        most: bytes of all together.
        longest: bytes of one body; the application refuses longer ones.
    """

    def __init__(self, app: Any, most: int, longest: int) -> None:
        self._app = app
        self._most = max(most, longest)
        self._longest = longest
        self._held = DrainRate()  # in bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = self._size(scope) if scope["type"] == "http" else 0
        if size <= SMALL:
            await self._app(scope, receive, send)
            return
        if self._held.in_progress + size > self._most:
            told = f"the bodies of requests under way have {self._held.in_progress:,.0f} bytes; try again later"
            error = Overloaded(told, retry_after=self._held.retry_after())
            await send_json(send, *error_answer(error, request_id(scope)))
            return
        self._held.enter(size)
        try:
            await self._app(scope, receive, send)
        finally:
            self._held.leave(size, done=True)

    def _size(self, scope: Scope) -> int:
        declared = header(scope, b"content-length")
        if declared is not None and declared.isdecimal():
            return min(int(declared), self._longest)
        return self._longest if header(scope, b"transfer-encoding") else 0
