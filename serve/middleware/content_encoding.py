"""Decompresses request bodies, so that everything behind it reads them as if they had been sent uncompressed."""

from typing import Any

from serve.http.content_encoding import decompressed
from serve.http.messages import Receive, Scope, Send, header

CONTENT_ENCODING = b"content-encoding"


class ContentEncodingMiddleware:
    """Removes a request's `Content-Encoding` from its body and its headers.

    An error arises where the body is read, and is answered there, in the format of the path.

    Args:
        app: the application.
        max_body_bytes: of one body, decompressed.
    """

    def __init__(self, app: Any, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        encoding = header(scope, CONTENT_ENCODING) if scope["type"] == "http" else None
        if encoding is not None:
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name != CONTENT_ENCODING]
            if encoding.strip().lower() not in ("", "identity"):
                receive = decompressed(receive, encoding, self._max_body_bytes)
        await self._app(scope, receive, send)
