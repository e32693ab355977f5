"""Calls an ASGI application in this process, without a socket."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


async def request(app: ASGIApp, method: str, path: str, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
    """Send a request; returns status, headers and body of the response."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await _run(app, method, path, headers, body, send)
    return sent[0]["status"], sent[0]["headers"], b"".join(message["body"] for message in sent[1:])


async def stream(app: ASGIApp, method: str, path: str, headers: Headers, body: bytes) -> AsyncGenerator[Any, None]:
    """Send a request; yields `(status, headers)`, then chunks of the body. Closing it cancels the request."""
    sent: asyncio.Queue[MutableMapping[str, Any] | None] = asyncio.Queue()
    running = asyncio.create_task(_run(app, method, path, headers, body, sent.put))
    running.add_done_callback(lambda _: sent.put_nowait(None))
    try:
        while (message := await sent.get()) is not None:
            if message["type"] == "http.response.start":
                yield message["status"], message["headers"]
            elif message["body"]:
                yield message["body"]
        await running
    finally:
        running.cancel()


async def _run(app: ASGIApp, method: str, path: str, headers: Headers, body: bytes, send: Send) -> None:
    sent_headers = [(name, value) for name, value in headers if name not in (b"content-length", b"transfer-encoding")]
    sent_headers.append((b"content-length", b"%d" % len(body)))
    scope = {"type": "http", "method": method, "path": path, "headers": sent_headers, "query_string": b""}

    is_sent = False

    async def receive() -> dict[str, Any]:
        nonlocal is_sent
        if is_sent:  # never reports a disconnect; the task is cancelled instead
            await asyncio.Future()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    await app(scope, receive, send)
