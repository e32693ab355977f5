"""serveConfigV2: the applications that `up` would start, in Ray Serve's own format."""

from typing import Any

from deployments.replica.scaling import IN_PLACE, scaling
from serve.applications import ServeApplication, applications
from serve.cluster.haproxy import KEEP_ALIVE_S
from serve.config.service import Limits, Service
from serve.routes import RouteTable

GATEWAY_CPUS = 0.1


def serve_config(service: Service, table: RouteTable, *, gateways: int = 1, port: int = 8000) -> dict[str, Any]:
    """The configuration for `serve deploy` and RayService.

    Args:
        service: its configuration.
        table: its routes.
        gateways: number of the gateway's replicas, each on a node of its own.
        port: on which every node listens.
    """
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": port, "keep_alive_timeout_s": KEEP_ALIVE_S},
        "applications": [_application(app, service.limits, gateways) for app in applications(service, table)],
    }


def _application(app: ServeApplication, limits: Limits, gateways: int) -> dict[str, Any]:
    """One application. The deployment's options are set in code, except those that differ on a cluster.

    The number of replicas is an option, not an argument: for Serve, other arguments are another version, which would
    replace all replicas when only their number changes. (Turning autoscaling on or off is a new version in any case.)
    """
    arguments = app.arguments.model_dump(mode="json", exclude_defaults=True)
    deployment: dict[str, Any]
    if isinstance(app.arguments, Service):
        # Without a CPU request it would be placed on the head.
        deployment = {"name": "gateway", "ray_actor_options": {"num_cpus": GATEWAY_CPUS}}
        if gateways > 1:
            # A surge replica would wait for a node of its own.
            deployment |= {"num_replicas": gateways, "max_replicas_per_node": 1, "max_surge_percent": 0}
        arguments["models"] = [_without_scaling(model) for model in arguments["models"]]
    else:
        deployment = {"name": "model"} | scaling(app.arguments.model.replicas)
        arguments["model"] = _without_scaling(arguments["model"])
    return {
        "name": app.name,
        "route_prefix": app.route_prefix,
        "import_path": app.import_path,
        "args": arguments,
        "deployments": [deployment | {"graceful_shutdown_timeout_s": limits.shutdown_s}],
    }


def _without_scaling(model: dict[str, Any]) -> dict[str, Any]:
    replicas = {key: value for key, value in model.get("replicas", {}).items() if key not in IN_PLACE}
    rest = {key: value for key, value in model.items() if key != "replicas"}
    return rest | ({"replicas": replicas} if replicas else {})
