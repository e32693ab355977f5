"""Finding the service that is meant: by its Ray address, or among those that run on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from serve.cluster.launch import Cluster, StartError, joined_cluster, local_addresses

START_ONE = "start one with `automodel-serve up`, or say with --address where its Ray cluster is"


@contextmanager
def running_service(address: str | None, port: int | None, *, verbose: bool = False) -> Iterator[Cluster]:
    """The cluster of the service that is meant, joined.

    Args:
        address: of its Ray cluster; None: it is on this machine.
        port: where it listens for HTTP; None: it is the only one.
        verbose: whether what Ray says is shown.

    Raises:
        StartError: there is none, or there are several.
    """
    with joined_cluster(address or _local_address(port), verbose=verbose) as cluster:
        if port is not None and not cluster.url.endswith(f":{port}"):
            raise StartError(f"no service on this machine listens at port {port}; there is {cluster.url}")
        yield cluster


def _local_address(port: int | None) -> str:
    """The Ray address of a service here. Looks into each Ray cluster, if there are several: a second each."""
    # As Ray does for a cluster that `up` starts; before Ray is imported.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    addresses = local_addresses()
    if len(addresses) == 1:
        return addresses[0]
    urls: dict[str, str] = {}
    for address in addresses:
        try:
            with joined_cluster(address) as cluster:
                urls[address] = cluster.url
        except StartError:
            continue  # something else that uses Ray
    meant = [address for address, url in urls.items() if port is None or url.endswith(f":{port}")]
    if len(meant) == 1:
        return meant[0]
    where = ", ".join(sorted(urls.values()))
    if not urls:
        raise StartError(f"no service runs on this machine; {START_ONE}")
    if not meant:
        raise StartError(f"no service on this machine listens at port {port}; there are {where}")
    raise StartError(f"several services run on this machine, {where}; choose one with --port")
