"""The load generator against a server of a few lines."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from loadtests.load.closed_load import Load, Result, run
from serve.ports import free_port

Answer = Callable[[bytes], Awaitable[bytes | None]]


def message(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Server:
    """Answers each body with what `answer` gives; closes the connection on None."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.bodies: list[bytes] = []
        self.connections = 0
        self.most_at_once = 0
        self._now = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.get_running_loop().create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                self.bodies.append(body)
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                answer = await self._answer(body)
                self._now -= 1
                if answer is None:
                    return
                for piece in (answer[:7], answer[7:]):  # an answer may come in pieces
                    writer.write(piece)
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


async def under(server: Server, **load: object) -> Result:
    settings = {"path": "/", "bodies": ["a", "bb", "ccc"], "requests": 12, "concurrency": 4} | load
    async with server.listening() as port:
        return await run(Load(port, **settings))  # type: ignore[arg-type]


async def ok(body: bytes) -> bytes:
    await asyncio.sleep(0.01)
    return message(200, body, "X-Batch-Size: 3", "X-Padding-Ratio: 0.125")


async def test_every_body_is_sent_in_turn_over_kept_connections() -> None:
    server = Server(ok)
    result = await under(server)
    assert sorted(server.bodies) == [b"a"] * 4 + [b"bb"] * 4 + [b"ccc"] * 4
    assert server.connections == server.most_at_once == 4
    assert result.statuses == {"200": 12}
    assert result.failed == 0


async def test_latencies_are_those_of_the_server() -> None:
    result = await under(Server(ok))
    assert len(result.latencies) == 12
    assert all(0.009 < latency < 1 for latency in result.latencies)
    assert 0.03 <= result.wall_s < sum(result.latencies)


async def test_chosen_headers_are_kept() -> None:
    result = await under(Server(ok), headers=("x-batch-size", "x-absent"), requests=2)
    assert result.headers == {"x-batch-size": ["3", "3"], "x-absent": []}


async def test_refusals_are_counted_and_have_no_latency() -> None:
    async def refuse(body: bytes) -> bytes:
        return message(429 if body == b"a" else 200)

    result = await under(Server(refuse))
    assert result.statuses == {"429": 4, "200": 8}
    assert len(result.latencies) == 8
    assert result.failed == 4


async def test_a_broken_connection_is_counted_and_opened_anew() -> None:
    async def break_off(body: bytes) -> bytes | None:
        return None if body == b"a" else message(200)

    server = Server(break_off)
    result = await under(server, concurrency=1, requests=6)
    assert result.errors == {"ConnectionResetError": 2}
    assert result.statuses == {"200": 4}
    assert server.connections == 3


async def test_an_answer_that_never_comes_ends_by_the_timeout() -> None:
    async def never(body: bytes) -> bytes:
        await asyncio.sleep(60)
        return message(200)

    result = await under(Server(never), timeout_s=0.05, requests=4)
    assert result.errors == {"TimeoutError": 4}
    assert result.latencies == []


async def test_no_server_is_an_error_too() -> None:
    result = await run(Load(free_port(), "/", ["a"], requests=3, concurrency=2))
    assert sum(result.errors.values()) == result.failed == 3


async def test_an_answer_without_a_length_is_an_error() -> None:
    async def unmeasured(body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

    result = await under(Server(unmeasured), concurrency=1, requests=2)
    assert result.errors == {"ConnectionError": 2}


async def test_a_connection_that_the_server_closes_is_left() -> None:
    async def last(body: bytes) -> bytes:
        return message(200, b"{}", "Connection: close")

    server = Server(last)
    result = await under(server, concurrency=1, requests=3)
    assert result.statuses == {"200": 3}
    assert server.connections == 3


async def test_no_request_begins_after_the_time_is_up() -> None:
    result = await under(Server(ok), requests=100_000, concurrency=2, seconds=0.2)
    assert 2 <= len(result.latencies) <= 60
    assert result.wall_s == pytest.approx(0.2, abs=0.15)
