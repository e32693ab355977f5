"""The composition root: a ServiceConfig becomes Serve applications. The only place that knows all the parts."""

import os
from collections.abc import Sequence

from ray import serve

from deployments.deployment import ReplicaLimits, build_deployment
from deployments.media.limits import MediaLimits
from serve.config import ServiceConfig
from serve.endpoint import endpoint_builder
from serve.gateway import build_gateway
from serve.routes import GATEWAY, RouteTable


def build_apps(config: ServiceConfig, table: RouteTable, *, cores: int | None = None) -> Sequence[serve.RunTarget]:
    """One Serve application per model, and the gateway.

    Args:
        config: the service.
        table: its routes.
        cores: CPU cores of a node, shared fairly among the replicas that name no threads; default: this machine's.
    """
    cores = cores or os.cpu_count() or 1
    replicas = sum(max(1, model.replicas.min) for model in config.models)
    threads = max(1, cores // replicas)
    media = MediaLimits(config.limits.max_pixels, config.limits.max_audio_seconds)
    limits = ReplicaLimits(config.limits.max_waiting, media)
    targets = [serve.RunTarget(target=build_gateway(table, config), name=GATEWAY, route_prefix="/")]
    for model, route in zip(config.models, table.routes, strict=True):
        app = build_deployment(
            model,
            route.kind,
            endpoint_builder(route, table, config.limits, config.media, config.auth),
            limits=limits,
            cpu_threads=threads,
        )
        targets.append(serve.RunTarget(target=app, name=route.model, route_prefix=route.prefix))
    return targets
