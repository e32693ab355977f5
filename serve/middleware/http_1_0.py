"""Sends a stream to a client of HTTP/1.0 as a whole, with its length.

HTTP/1.0 has no chunked encoding, and uvicorn chunks every response without a length, whatever the request's version;
HAProxy passes that on. A client of HTTP/1.0 would take the sizes of the chunks for a part of the text.
"""

from typing import Any

from serve.http.messages import Message, Receive, Scope, Send

WITHOUT_BODY = (204, 304)


class HTTP10Middleware:
    """Collects a response that has no length, if the request is one of HTTP/1.0.

    Args:
        app: the application.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_old = scope["type"] == "http" and scope.get("http_version") == "1.0"
        await self._app(scope, receive, _Collector(send) if is_old else send)


class _Collector:
    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None  # of a response that is being collected
        self._pieces: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not _has_length(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._send_collected(self._start)

    async def _send_collected(self, start: Message) -> None:
        body = b"".join(self._pieces)
        headers = [*start.get("headers", ()), (b"content-length", str(len(body)).encode())]
        await self._send(dict(start) | {"headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _has_length(start: Message) -> bool:
    names = {name.lower() for name, _ in start.get("headers", ())}
    return b"content-length" in names or start["status"] in WITHOUT_BODY
