"""BodyMemory: bounds what one process holds of large bodies at a time, however many requests bring them."""

from typing import Any

from deployments.drain_rate import DrainRate
from deployments.errors import Overloaded
from serve.errors import error_answer
from serve.messages import Receive, Scope, Send, header, send_json
from serve.request_id import request_id

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
        if self._held.under_way + size > self._most:
            told = f"the bodies of requests under way have {self._held.under_way:,.0f} bytes; try again later"
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
