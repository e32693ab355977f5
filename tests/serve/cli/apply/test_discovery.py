"""Which of the services on this machine is meant."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from serve.cli.apply import discovery
from serve.cli.apply.discovery import running_service
from serve.cluster.launch import Cluster, StartError

Running = Callable[[Mapping[str, str | None]], None]
ONE, TWO = "http://127.0.0.1:8000", "http://127.0.0.1:8001"


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    """Has Ray clusters of these addresses run, each with a service at its URL or none."""

    def run(clusters: Mapping[str, str | None]) -> None:
        @contextmanager
        def joined_cluster(address: str, verbose: bool = False) -> Iterator[Cluster]:
            url = clusters[address]
            if url is None:
                raise StartError(f"Serve does not run on the Ray cluster at {address}")
            yield Cluster(url, is_ours=False)

        monkeypatch.setattr(discovery, "joined_cluster", joined_cluster)
        monkeypatch.setattr(discovery, "local_cluster_addresses", lambda: list(clusters))

    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    return run


def found(address: str | None = None, port: int | None = None) -> str:
    with running_service(address, port) as cluster:
        return cluster.url


def test_the_only_one(running: Running) -> None:
    running({"a:1": ONE})
    assert found() == found(port=8000) == ONE
    with pytest.raises(StartError, match=f"no service on this machine listens on port 8001; there is {ONE}"):
        found(port=8001)


def test_beside_something_else_that_uses_ray(running: Running) -> None:
    running({"a:1": None, "b:2": ONE})
    assert found() == ONE


def test_one_of_several(running: Running) -> None:
    running({"a:1": ONE, "b:2": TWO})
    assert found(port=8001) == TWO
    assert found(address="b:2") == TWO
    with pytest.raises(StartError, match=f"several services run on this machine: {ONE}, {TWO}; choose one with --port"):
        found()
    with pytest.raises(StartError, match=f"no service on this machine listens on port 8002; there are {ONE}, {TWO}"):
        found(port=8002)


@pytest.mark.parametrize("clusters", [{}, {"a:1": None, "b:2": None}])
def test_none(running: Running, clusters: Mapping[str, str | None]) -> None:
    running(clusters)
    with pytest.raises(StartError, match="no service runs on this machine; start one with `automodel-serve up`"):
        found()
