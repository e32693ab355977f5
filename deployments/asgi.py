"""Asking an ASGI application that runs in this process: no socket, the same answer."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


async def ask(app: ASGIApp, method: str, path: str, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
    """Status, headers and body of the whole answer."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await _run(app, method, path, headers, body, send)
    return sent[0]["status"], sent[0]["headers"], b"".join(message["body"] for message in sent[1:])


async def stream(app: ASGIApp, method: str, path: str, headers: Headers, body: bytes) -> AsyncGenerator[Any, None]:
    """The same as it comes: (status, headers), then pieces of the body. Ends the request when it is closed."""
    sent: asyncio.Queue[MutableMapping[str, Any] | None] = asyncio.Queue()
    asking = asyncio.create_task(_run(app, method, path, headers, body, sent.put))
    asking.add_done_callback(lambda _: sent.put_nowait(None))
    try:
        while (message := await sent.get()) is not None:
            if message["type"] == "http.response.start":
                yield message["status"], message["headers"]
            elif message["body"]:
                yield message["body"]
        await asking
    finally:
        asking.cancel()


async def _run(app: ASGIApp, method: str, path: str, headers: Headers, body: bytes, send: Send) -> None:
    whole = [(name, value) for name, value in headers if name not in (b"content-length", b"transfer-encoding")]
    whole.append((b"content-length", b"%d" % len(body)))
    scope = {"type": "http", "method": method, "path": path, "headers": whole, "query_string": b""}

    given = False

    async def receive() -> dict[str, Any]:
        nonlocal given
        if given:  # who waits for the caller to leave is cancelled where it does
            await asyncio.Future()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    await app(scope, receive, send)
