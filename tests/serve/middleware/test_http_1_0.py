"""Responses to HTTP/1.0, sent by uvicorn: never in chunks, and the connection ends with them."""

import asyncio
import socket
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
import uvicorn

from serve.http.messages import send_json
from serve.middleware.http_1_0 import HTTP10Middleware
from tests.waiting import PATIENCE_S, until

EVENTS = [b"data:1\n\n", b"data:2\n\n"]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/whole":
        await send_json(send, 200, b"[]", [])
        return
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    if scope["path"] == "/nothing":
        await send(start | {"status": 204})
        await send({"type": "http.response.body"})
        return
    await send(start)
    for event in EVENTS:
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(HTTP10Middleware(app), port=0, lifespan="off", log_level="warning", http="httptools")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(PATIENCE_S)


def ask(port: int, path: str, version: str) -> tuple[str, bytes]:
    """Head and body, read until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        close = "" if version == "1.0" else "Connection: close\r\n"
        connection.sendall(f"GET {path} HTTP/{version}\r\nHost: test\r\n{close}\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode().lower(), body


def test_a_stream_is_sent_whole(port: int) -> None:
    head, body = ask(port, "/stream", "1.0")
    assert body == b"".join(EVENTS)
    assert "transfer-encoding" not in head
    assert f"content-length: {len(body)}" in head
    assert "content-type: text/event-stream" in head
    assert "connection: close" in head


def test_other_responses_are_as_they_were(port: int) -> None:
    assert ask(port, "/whole", "1.0")[1] == b"[]"
    assert "content-length" not in ask(port, "/nothing", "1.0")[0]
    head, body = ask(port, "/stream", "1.1")
    assert "transfer-encoding: chunked" in head
    assert body == b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in EVENTS) + b"0\r\n\r\n"
