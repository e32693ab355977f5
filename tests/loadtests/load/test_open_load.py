"""The open load against a server of a few lines."""

import asyncio
import statistics
from collections import Counter

import pytest

from loadtests.load import open_load
from loadtests.load.open_load import NO_CONNECTION, OpenLoad, OpenResult, Phase, moments, run_open
from serve.ports import free_port
from tests.loadtests.load.test_closed_load import Server, message


async def under(server: Server, rate: float = 200, seconds: float = 0.5, timeout_s: float = 20.0) -> OpenResult:
    async with server.listening() as port:
        return await run_open(OpenLoad(port, "/", ["a", "bb"], [Phase(rate, seconds)], timeout_s))


def outcomes(result: OpenResult) -> Counter[str]:
    return Counter(asked.outcome for asked in result.asked)


def test_the_moments_of_a_phase_are_as_many_as_it_says_and_independent() -> None:
    times = list(moments([Phase(100, 20), Phase(1000, 10)]))
    assert times == sorted(times)
    first, second = [t for t in times if t < 20], [t for t in times if t >= 20]
    assert len(first) == pytest.approx(2000, rel=0.1)
    assert len(second) == pytest.approx(10_000, rel=0.05)
    assert max(times) < 30
    gaps = [b - a for a, b in zip(second, second[1:], strict=False)]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.1)  # as of an exponential
    assert times == list(moments([Phase(100, 20), Phase(1000, 10)]))


async def test_requests_go_out_whatever_became_of_those_before_them() -> None:
    enough = asyncio.Event()

    async def wait_for_all(body: bytes) -> bytes:
        if len(server.bodies) >= 60:
            enough.set()
        await enough.wait()
        return message(200)

    server = Server(wait_for_all)
    result = await under(server)
    assert outcomes(result) == {"200": len(server.bodies)}
    assert server.most_at_once >= 60
    assert result.connections == server.connections >= 60
    assert Counter(server.bodies)[b"a"] == pytest.approx(len(server.bodies) / 2, abs=1)


async def test_connections_are_kept() -> None:
    async def at_once(body: bytes) -> bytes:
        return message(200)

    server = Server(at_once)
    result = await under(server, rate=100)
    assert outcomes(result) == {"200": len(server.bodies)}
    assert result.connections == server.connections < len(server.bodies) / 2
    assert all(asked.due <= asked.sent <= asked.ended for asked in result.asked)
    assert result.cpu_s > 0


async def test_a_refusal_keeps_what_it_says_of_coming_again() -> None:
    async def refuse(body: bytes) -> bytes:
        return message(429, b"{}", "Retry-After: 4") if body == b"a" else message(200)

    result = await under(Server(refuse))
    assert set(outcomes(result)) == {"200", "429"}
    assert {asked.retry_after for asked in result.asked if asked.outcome == "429"} == {4.0}
    assert {asked.retry_after for asked in result.asked if asked.outcome == "200"} == {None}


async def test_who_waits_too_long_gives_up() -> None:
    async def never(body: bytes) -> bytes:
        await asyncio.sleep(60)
        return message(200)

    result = await under(Server(never), rate=50, seconds=0.2, timeout_s=0.1)
    assert set(outcomes(result)) == {"TimeoutError"}
    assert all(asked.ended - asked.sent >= 0.1 for asked in result.asked)


async def test_a_broken_connection_and_no_server_are_told() -> None:
    async def break_off(body: bytes) -> bytes | None:
        return None if body == b"a" else message(200)

    assert set(outcomes(await under(Server(break_off)))) == {"200", "ConnectionResetError"}
    result = await run_open(OpenLoad(free_port(), "/", ["a"], [Phase(100, 0.1)], 1.0))
    assert set(outcomes(result)) == {"ConnectionRefusedError"}


async def test_connections_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_load, "MOST_CONNECTIONS", 5)
    answer = asyncio.Event()

    async def late(body: bytes) -> bytes:
        asyncio.get_running_loop().call_later(0.3, answer.set)
        await answer.wait()
        return message(200)

    server = Server(late)
    result = await under(server, rate=100, seconds=0.2)
    assert server.connections == 5
    assert outcomes(result)["200"] == 5
    assert outcomes(result)[NO_CONNECTION] == len(result.asked) - 5
