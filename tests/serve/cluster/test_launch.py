"""Ports that are found free stay so until they are used."""

import socket
from pathlib import Path

import pytest

from serve.cluster import launch


def test_a_free_port_can_be_bound_and_is_none_that_the_kernel_gives_away():
    lowest, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    for port in {launch.free_port() for _ in range(20)}:
        assert launch.FIRST_PORT <= port <= launch.LAST_PORT < lowest
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_a_port_in_use_is_not_found(monkeypatch):
    with socket.socket() as server:
        server.bind(("127.0.0.1", launch.free_port()))
        server.listen()
        taken = server.getsockname()[1]
        monkeypatch.setattr(launch.random, "randint", lambda first, last: taken)
        with pytest.raises(OSError, match="no free port"):
            launch.free_port()
