"""Every private name of Ray that the model side uses, behind one plain function each.

An upgrade of Ray is a reading of this file; tests/deployments/telemetry/test_ray_internals.py checks that each name is
still there. It stands below `replica` because telemetry needs it, too.
"""

from collections.abc import Mapping

import ray
from ray import serve
from ray._common.network_utils import build_address
from ray.experimental import internal_kv
from ray.util import metrics

from deployments.telemetry.logs import warn_unless_read_in

READ_IN = "2.60"  # the release whose source these names were read in


warn_unless_read_in("ray", READ_IN)


def put(key: bytes, value: bytes, namespace: bytes) -> None:
    """Write to the cluster's key-value store. Ray has no public one, and an actor would have to be found and kept."""
    internal_kv._internal_kv_put(key, value, overwrite=True, namespace=namespace)


def get(key: bytes, namespace: bytes) -> bytes | None:
    """Read from the cluster's key-value store; None if nothing was put."""
    value: bytes | None = internal_kv._internal_kv_get(key, namespace=namespace)
    return value


def add_to_counter(counter: metrics.Counter, value: float, tags: Mapping[str, str]) -> None:
    """Increase a counter, also by 0, with which a series begins; the public `inc` refuses 0."""
    counter._metric.record(value, tags=dict(tags))


def metrics_addresses() -> list[str]:
    """`host:port` of the metrics of each living node. Asks the cluster: milliseconds.

    `ray.nodes()` is public, what its dictionaries hold is not; `build_address` puts IPv6 hosts into brackets.
    """
    return [
        build_address(node["NodeManagerAddress"], node["MetricsExportPort"])
        for node in ray.nodes()
        if node["Alive"] and node["MetricsExportPort"]
    ]


def with_version(deployment: serve.Deployment, version: str) -> serve.Deployment:
    """Serve's own name of what the replicas of a deployment were made of: equal versions are not replaced.

    In public the option has been removed ("Serve manages deployment versions internally"): each new code version
    replaces every replica, also where only the number of replicas changes.
    """
    return deployment.options(version=version, _internal=True)
