"""uvicorn with fewer ticks: it answers, renews its `Date`, and ends when it is told to."""

import asyncio
import socket

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from serve.middleware import ray_proxy, uvicorn_tick
from serve.middleware.uvicorn_tick import tick_less_often


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of uvicorn is there again after the test."""
    monkeypatch.setattr(uvicorn.Server, "main_loop", uvicorn.Server.main_loop)


async def test_a_server_answers_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = []
    on_tick = uvicorn.Server.on_tick

    async def counted(server: uvicorn.Server, counter: int) -> bool:
        ticks.append(counter)
        return await on_tick(server, counter)

    monkeypatch.setattr(uvicorn.Server, "on_tick", counted)
    monkeypatch.setattr(uvicorn_tick, "TICK_S", 0.05)
    tick_less_often()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(PlainTextResponse("here"), lifespan="off", log_level="warning"))
        serving = asyncio.create_task(server.serve([listener]))
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server.should_exit = True
        await serving
    assert answer.text == "here"
    assert "date" in answer.headers
    assert ticks
    assert not any(ticks)  # at each, the date is renewed


def test_ray_asks_for_it_in_every_process_that_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    async def uvicorns_own(server: uvicorn.Server) -> None:
        """In place of the loop, which another test may have replaced already."""

    monkeypatch.setattr(uvicorn.Server, "main_loop", uvicorns_own)
    ray_proxy.middlewares()
    assert uvicorn.Server.main_loop is not uvicorns_own
