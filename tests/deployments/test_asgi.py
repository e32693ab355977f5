"""Asking an application in its own process: whole answers, streams, and callers that leave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse

from deployments import asgi

ASKED = ("POST", "/path", [(b"x-name", b"value")], b"body")


async def echo(scope, receive, send):
    request = Request(scope, receive)
    told = {"path": scope["path"], "name": request.headers["x-name"], "body": (await request.body()).decode()}
    await JSONResponse(told, status_code=201)(scope, receive, send)


class Counting:
    """Streams numbers without an end, and notes that it was ended."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.ended = False

    async def __call__(self, scope, receive, send):
        async def numbers() -> AsyncIterator[bytes]:
            number = 0
            try:
                while number != self.most:
                    yield b"%d " % number
                    number += 1
                    await asyncio.sleep(0)
            finally:
                self.ended = True

        # Starlette waits for the caller to leave beside sending: it must not be told at once, nor spin.
        await StreamingResponse(numbers())(scope, receive, send)


async def test_a_whole_answer():
    status, headers, body = await asgi.request(echo, *ASKED)
    assert (status, dict(headers)[b"content-type"]) == (201, b"application/json")
    assert body == b'{"path":"/path","name":"value","body":"body"}'


async def test_a_stream_ends_by_itself():
    status, *pieces = [part async for part in asgi.stream(Counting(3), *ASKED)]
    assert status[0] == 200
    assert pieces == [b"0 ", b"1 ", b"2 "]
    assert (await asgi.request(Counting(3), *ASKED))[2] == b"0 1 2 "


async def test_a_caller_that_leaves_ends_the_stream():
    counting = Counting()
    async with aclosing(asgi.stream(counting, *ASKED)) as parts:
        async for part in parts:
            if part == b"3 ":
                break
    for _ in range(20):
        await asyncio.sleep(0)
    assert counting.ended
