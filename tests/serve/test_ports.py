"""Ports that are found free stay so until they are used."""

import socket
from pathlib import Path

import pytest

from serve import ports


def test_a_free_port_can_be_bound_and_is_none_that_the_kernel_gives_away():
    lowest, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    for port in {ports.free_port() for _ in range(20)}:
        assert ports.FIRST <= port <= ports.LAST < lowest
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_a_port_in_use_is_not_found(monkeypatch):
    with socket.socket() as server:
        server.bind(("127.0.0.1", ports.free_port()))
        server.listen()
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports.random, "randint", lambda first, last: taken)
        with pytest.raises(OSError, match="no free port"):
            ports.free_port()
