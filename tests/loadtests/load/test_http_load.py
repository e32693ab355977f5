"""Closed and open load against an HTTP server of a few lines."""

import asyncio
from collections import Counter

import pytest

from loadtests.load import http_load
from loadtests.load.arrivals import Phase
from loadtests.load.http_load import ClosedLoad, OpenLoad, run
from loadtests.load.results import NO_CONNECTION, LoadResult
from serve.cluster.launch import free_port
from tests.loadtests.http_server import Server, message


async def closed(server: Server, **load: object) -> LoadResult:
    settings = {"path": "/", "bodies": ["a", "bb", "ccc"], "requests": 12, "concurrency": 4} | load
    async with server.listening() as port:
        return await run(ClosedLoad(port=port, **settings))  # type: ignore[arg-type]


async def opened(server: Server, rate: float = 200, seconds: float = 0.5, timeout_s: float = 20.0) -> LoadResult:
    async with server.listening() as port:
        phases = [Phase(rate, seconds)]
        return await run(OpenLoad(port=port, path="/", bodies=["a", "bb"], phases=phases, timeout_s=timeout_s))


def outcomes(result: LoadResult) -> dict[str, int]:
    return dict(Counter(request.outcome for request in result.requests))


async def ok(body: bytes) -> bytes:
    await asyncio.sleep(0.01)
    return message(200, body, "X-Batch-Size: 3", "X-Padding-Ratio: 0.125")


async def refuse_a(body: bytes) -> bytes:
    return message(429, b"{}", "Retry-After: 4") if body == b"a" else message(200)


async def never(body: bytes) -> bytes:
    await asyncio.sleep(60)
    return message(200)


async def break_off_a(body: bytes) -> bytes | None:
    return None if body == b"a" else message(200)


async def test_clients_send_the_bodies_in_turn_over_kept_connections() -> None:
    server = Server(ok)
    result = await closed(server)
    assert sorted(server.bodies) == [b"a"] * 4 + [b"bb"] * 4 + [b"ccc"] * 4
    assert result.connections == server.connections == server.max_in_flight == 4
    assert outcomes(result) == {"200": 12}
    assert result.failures == {}


async def test_latencies_are_those_of_the_server() -> None:
    result = await closed(Server(ok))
    assert len(result.latencies) == 12
    assert all(0.009 < latency < 1 for latency in result.latencies)
    assert 0.03 <= result.wall_s < sum(result.latencies)


async def test_chosen_headers_are_kept() -> None:
    result = await closed(Server(ok), headers=["x-batch-size", "x-absent"], requests=2)
    assert result.headers == {"x-batch-size": ["3", "3"], "x-absent": []}


async def test_refusals_are_counted_and_have_no_latency() -> None:
    result = await closed(Server(refuse_a))
    assert outcomes(result) == {"429": 4, "200": 8}
    assert len(result.latencies) == 8
    assert result.failures == {"429": 4}


async def test_a_broken_connection_is_counted_and_replaced() -> None:
    server = Server(break_off_a)
    result = await closed(server, concurrency=1, requests=6)
    assert outcomes(result) == {"ConnectionResetError": 2, "200": 4}
    assert server.connections == 3


async def test_a_closed_load_times_out() -> None:
    result = await closed(Server(never), timeout_s=0.05, requests=4)
    assert result.failures == {"TimeoutError": 4}
    assert result.latencies == []


async def test_without_a_server_all_requests_fail() -> None:
    result = await run(ClosedLoad(port=free_port(), path="/", bodies=["a"], requests=3, concurrency=2))
    assert result.failures == {"ConnectionRefusedError": 3}
    result = await run(OpenLoad(port=free_port(), path="/", bodies=["a"], phases=[Phase(100, 0.1)]))
    assert set(outcomes(result)) == {"ConnectionRefusedError"}


async def test_a_response_without_a_length_is_an_error() -> None:
    async def chunked(body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

    result = await closed(Server(chunked), concurrency=1, requests=2)
    assert result.failures == {"ConnectionError": 2}


async def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    async def last(body: bytes) -> bytes:
        return message(200, b"{}", "Connection: close")

    server = Server(last)
    result = await closed(server, concurrency=1, requests=3)
    assert outcomes(result) == {"200": 3}
    assert server.connections == 3


async def test_no_request_starts_after_the_time_is_up() -> None:
    result = await closed(Server(ok), requests=100_000, concurrency=2, seconds=0.2)
    assert 2 <= len(result.latencies) <= 60
    assert result.wall_s == pytest.approx(0.2, abs=0.15)


async def test_an_open_load_does_not_wait_for_responses() -> None:
    enough = asyncio.Event()

    async def wait_for_all(body: bytes) -> bytes:
        if len(server.bodies) >= 60:
            enough.set()
        await enough.wait()
        return message(200)

    server = Server(wait_for_all)
    result = await opened(server)
    assert outcomes(result) == {"200": len(server.bodies)}
    assert server.max_in_flight >= 60
    assert result.connections == server.connections >= 60
    assert Counter(server.bodies)[b"a"] == pytest.approx(len(server.bodies) / 2, abs=1)


async def test_an_open_load_keeps_connections() -> None:
    async def at_once(body: bytes) -> bytes:
        return message(200)

    server = Server(at_once)
    result = await opened(server, rate=100)
    assert outcomes(result) == {"200": len(server.bodies)}
    assert result.connections == server.connections < len(server.bodies) / 2
    assert all(request.due <= request.sent <= request.ended for request in result.requests)
    assert result.cpu_s > 0


async def test_a_refusal_keeps_its_retry_after() -> None:
    result = await opened(Server(refuse_a))
    assert set(outcomes(result)) == {"200", "429"}
    assert {request.retry_after for request in result.requests if request.outcome == "429"} == {4.0}
    assert {request.retry_after for request in result.requests if request.outcome == "200"} == {None}


async def test_an_open_load_times_out() -> None:
    result = await opened(Server(never), rate=50, seconds=0.2, timeout_s=0.1)
    assert set(outcomes(result)) == {"TimeoutError"}
    assert all(request.ended - request.sent >= 0.1 for request in result.requests)


async def test_an_open_load_counts_broken_connections() -> None:
    assert set(outcomes(await opened(Server(break_off_a)))) == {"200", "ConnectionResetError"}


async def test_the_number_of_connections_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_load, "MAX_CONNECTIONS", 5)
    answer = asyncio.Event()

    async def late(body: bytes) -> bytes:
        asyncio.get_running_loop().call_later(0.3, answer.set)
        await answer.wait()
        return message(200)

    server = Server(late)
    result = await opened(server, rate=100, seconds=0.2)
    assert server.connections == 5
    assert outcomes(result) == {"200": 5, NO_CONNECTION: len(result.requests) - 5}
