import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from serve.middleware.limits import SMALL_BODY, BodyMemoryMiddleware

LARGE = b"x" * (2 * SMALL_BODY)
MAX_BYTES = 3 * len(LARGE)


class Slow:
    """Answers with the length of the body, once it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.reading = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reading += 1
        body = await Request(scope, receive).body()
        await self.may.wait()
        await PlainTextResponse(str(len(body)))(scope, receive, send)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def client(slow: Slow) -> AsyncIterator[httpx.AsyncClient]:
    app = BodyMemoryMiddleware(slow, max_bytes=MAX_BYTES, max_body_bytes=len(LARGE))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def in_pieces() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"


async def begin(client: httpx.AsyncClient, slow: Slow, count: int, content: Any) -> list["asyncio.Task[Any]"]:
    until = slow.reading + count
    tasks = [asyncio.create_task(client.post("/", content=content())) for _ in range(count)]
    while slow.reading < until:  # noqa: ASYNC110
        await asyncio.sleep(0)
    return tasks


async def test_bodies_over_the_bound_are_refused_before_they_are_read(client: httpx.AsyncClient, slow: Slow) -> None:
    tasks = await begin(client, slow, 3, lambda: LARGE)
    refused = await client.post("/", content=LARGE, headers={"x-request-id": "demo"})
    assert refused.status_code == 429
    assert refused.json() == {
        "error": "requests in progress hold 393,216 bytes of bodies; retry later",
        "error_type": "overloaded",
        "request_id": "demo",
    }
    assert int(refused.headers["retry-after"]) >= 1
    assert slow.reading == 3
    slow.may.set()
    assert [(await task).text for task in tasks] == [str(len(LARGE))] * 3
    assert (await client.post("/", content=LARGE)).status_code == 200


async def test_small_bodies_are_not_counted(client: httpx.AsyncClient, slow: Slow) -> None:
    tasks = await begin(client, slow, 3, lambda: LARGE)
    tasks += await begin(client, slow, 50, lambda: b"x" * SMALL_BODY)
    slow.may.set()
    assert {(await task).status_code for task in tasks} == {200}


async def test_a_body_in_chunks_counts_as_the_longest(client: httpx.AsyncClient, slow: Slow) -> None:
    tasks = await begin(client, slow, 3, in_pieces)
    assert (await client.post("/", content=in_pieces())).status_code == 429
    slow.may.set()
    assert [(await task).text for task in tasks] == ["2"] * 3
    assert (await client.post("/", content=in_pieces())).text == "2"


async def test_what_is_declared_beyond_the_longest_is_left_to_the_application(slow: Slow) -> None:
    slow.may.set()
    app = BodyMemoryMiddleware(slow, max_bytes=10, max_body_bytes=len(LARGE))  # one body always fits
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.post("/", content=LARGE * 2)).text == str(2 * len(LARGE))


async def test_a_client_that_leaves_frees_what_it_held(client: httpx.AsyncClient, slow: Slow) -> None:
    tasks = await begin(client, slow, 3, lambda: LARGE)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    slow.may.set()
    assert (await client.post("/", content=LARGE)).status_code == 200
