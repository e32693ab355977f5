"""HeaderLimit: refuses a request whose headers are too large, before anything else is done with it."""

from typing import Any

from deployments.errors import HeadersTooLarge
from serve.errors import error_answer
from serve.messages import Receive, Scope, Send, send_json
from serve.request_id import request_id

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
