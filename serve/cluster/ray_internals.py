"""Every private name of Ray that `serve/` uses, each as a plain function. An upgrade of Ray begins with this file.

Ray is imported within the functions, as Ray Serve reads its environment when it is imported, and `launch` sets that.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from deployments.telemetry.logs import warn_unless_read_in

READ_IN = "2.60"  # the release whose source these names were read in


class HTTPAddress(NamedTuple):
    """Where Serve listens for HTTP."""

    host: str
    port: int


warn_unless_read_in("ray", READ_IN)


def http_address() -> HTTPAddress | None:
    """Where Serve on the connected cluster listens; None if Serve does not run there. Connect to Ray first.

    Publicly, `serve.status()` has the state of the proxies, and not where they listen.
    """
    from ray.serve.context import _get_global_client

    client = _get_global_client(raise_if_no_controller_running=False)
    return None if client is None else HTTPAddress(str(client.http_config.host), int(client.http_config.port))


def forget_serve() -> None:
    """Drop the connection to Serve's controller, and leave Serve running.

    Publicly there is only `serve.shutdown()`, which ends Serve. Without this, Serve would mistake the next cluster for
    this one, as each cluster gives the same ids to its first jobs.
    """
    from ray.serve.context import _disconnect

    _disconnect()


def local_cluster_addresses() -> list[str]:
    """The addresses of all Ray clusters with a process on this machine.

    Publicly, `ray.init(address="auto")` connects to one of them, and does not list them.
    """
    from ray._private.services import find_gcs_addresses

    return sorted(find_gcs_addresses())


def available_resources() -> Mapping[str, Mapping[str, float]]:
    """The free resources of each node, by its id.

    Publicly, `ray.available_resources()` has their sum over all nodes.
    """
    from ray._private.state import available_resources_per_node

    resources: Mapping[str, Mapping[str, float]] = available_resources_per_node()
    return resources


def application_details() -> dict[str, Any]:
    """Serve's applications by name, with status, source, deployments and replicas.

    Publicly, `serve.status()` has no source and no replica ids, and validates this again, which takes fifty times as
    long. The dashboard's REST API has both, but no dashboard runs here.
    """
    from ray.serve.context import _get_global_client

    details: dict[str, Any] = _get_global_client().get_serve_details()["applications"]
    return details


def deployment_arguments(deployment: str, application: str) -> tuple[tuple[Any, ...], str]:
    """The positional arguments that a deployment was bound with, and its version.

    Publicly, neither can be read from a running deployment.
    """
    from ray.serve.context import _get_global_client

    info, _ = _get_global_client().get_deployment_info(deployment, application)
    return info.replica_config.init_args, str(info.version)


def delete_applications(names: Iterable[str]) -> None:
    """Start to delete applications, without waiting.

    Publicly, `serve.delete()` takes one application and waits until it is gone.
    """
    from ray.serve.context import _get_global_client

    _get_global_client().delete_apps(list(names), blocking=False)
