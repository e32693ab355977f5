"""Ports that are found free stay so until they are used, or the start is tried again with others."""

import os
import socket
from pathlib import Path

import pytest
from ray.exceptions import RayTaskError

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


class Ray:
    """What `_start` asks of Ray and Serve; the first starts fail."""

    def __init__(self, monkeypatch, failures: list[Exception]) -> None:
        self.failures, self.ports, self.left = failures, [], 0
        monkeypatch.setattr(launch, "_connect", lambda connection, verbose: None)
        monkeypatch.setattr(launch, "_leave", self.leave)
        monkeypatch.setattr("ray.serve.start", self.start)
        monkeypatch.setenv("A_PORT", "1")

    def start(self, http_options: object) -> None:
        self.ports.append(os.environ["A_PORT"])
        if self.failures:
            raise self.failures.pop(0)

    def leave(self, is_ours: bool) -> None:
        self.left += 1


HAPROXY_ENDED = (
    "RuntimeError: HAProxy crashed during startup: [NOTICE] haproxy version is 2.8\n"
    "[ALERT] (9) : Binding [/tmp/haproxy.cfg:79] for proxy http: cannot bind socket (Address already in use) for [:1]\n"
    "[ALERT] (9) : Some protocols failed to start their listeners! Exiting.\n"
)
OWN, JOINED = {"address": "local"}, {"address": "10.0.0.1:6379"}


def ended(reason: str) -> RayTaskError:
    return RayTaskError("ready", reason, RuntimeError("HAProxy crashed"))


def test_a_start_that_lost_a_port_is_tried_again_with_another(monkeypatch):
    ray = Ray(monkeypatch, [ended(HAPROXY_ENDED)])
    launch._start(OWN, {}, ["A_PORT"], verbose=False)
    first, second = ray.ports
    assert first == "1"
    assert launch.FIRST_PORT <= int(second) <= launch.LAST_PORT
    assert ray.left == 1


@pytest.mark.parametrize(
    ("connection", "chosen", "reason", "said"),
    [
        (OWN, ["A_PORT"], HAPROXY_ENDED, "cannot bind socket (Address already in use) for [:1]"),
        (OWN, [], "RuntimeError: Failed to bind to address ':1'.", "RuntimeError: Failed to bind to address ':1'."),
        (JOINED, ["A_PORT"], HAPROXY_ENDED, "cannot bind socket (Address already in use) for [:1]"),
    ],
)
def test_a_start_that_fails_for_good_says_why_in_one_line(monkeypatch, connection, chosen, reason, said):
    ray = Ray(monkeypatch, [ended(reason), ended(reason)])
    with pytest.raises(launch.StartError) as failed:
        launch._start(connection, {}, chosen, verbose=False)
    assert str(failed.value) == f"the proxy did not start: {said}"
    assert ray.left == len(ray.ports) == (2 if connection is OWN and chosen else 1)
