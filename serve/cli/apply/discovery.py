"""Finds the service to change: by its Ray address, or among the services on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from serve.cluster.launch import Cluster, StartError, joined_cluster
from serve.cluster.ray_internals import local_cluster_addresses


@contextmanager
def running_service(address: str | None, port: int | None, *, verbose: bool = False) -> Iterator[Cluster]:
    """Join the cluster of the service.

    Args:
        address: of its Ray cluster; None for a service on this machine.
        port: its HTTP port; None if it is the only one.
        verbose: whether Ray's output is shown.

    Raises:
        StartError: no service was found, or several.
    """
    with joined_cluster(address or _local_address(port), verbose=verbose) as cluster:
        if port is not None and not cluster.url.endswith(f":{port}"):
            raise StartError(f"no service on this machine listens on port {port}; there is {cluster.url}")
        yield cluster


def _local_address(port: int | None) -> str:
    """The Ray address of a service on this machine. If there are several clusters, it joins each: a second each."""
    # As Ray does for a cluster that `up` starts; it must be set before Ray is imported.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    addresses = local_cluster_addresses()
    if len(addresses) == 1:
        return addresses[0]
    urls: dict[str, str] = {}
    for address in addresses:
        try:
            with joined_cluster(address) as cluster:
                urls[address] = cluster.url
        except StartError:
            continue  # another use of Ray
    candidates = [address for address, url in urls.items() if port is None or url.endswith(f":{port}")]
    if len(candidates) == 1:
        return candidates[0]
    known = ", ".join(sorted(urls.values()))
    if not urls:
        hint = "start one with `automodel-serve up`, or name its Ray cluster with --address"
        raise StartError(f"no service runs on this machine; {hint}")
    if not candidates:
        raise StartError(f"no service on this machine listens on port {port}; there are {known}")
    raise StartError(f"several services run on this machine: {known}; choose one with --port")
