"""The composition root: builds Serve applications from a ServiceConfig. The only place that knows all parts.

On a cluster, Ray calls the two builders by their import path and reads the types of their parameters. So no
`from __future__ import annotations` here, or Ray would pass a bare dictionary.
"""

import os
from collections.abc import Mapping, Sequence

from ray import serve

from deployments.media.limits import MediaLimits
from deployments.registry import task_of
from deployments.replica.deployment import build_deployment
from deployments.replica.limits import ReplicaLimits
from serve.applications import ModelArguments, ServeApplication, applications
from serve.config.service import Service
from serve.gateway.app import build_gateway
from serve.model.endpoint import EndpointFactory
from serve.routes import Route, RouteTable, route_table


def model_app(arguments: ModelArguments) -> serve.Application:
    """The application of one model."""
    return _model_app(arguments)


def gateway_app(service: Service) -> serve.Application:
    """The application at "/"."""
    return build_gateway(route_table(service), service)


def build_app(
    app: ServeApplication, version: str | None = None, unserved: Mapping[str, str] | None = None
) -> serve.RunTarget:
    """One application as Serve's target. With the `version` of the running one, its replicas are kept.

    Args:
        app: the application.
        version: see above.
        unserved: models that the gateway refuses, with the reason.
    """
    if isinstance(app.arguments, Service):
        target = build_gateway(route_table(app.arguments, unserved), app.arguments, version)
    else:
        target = _model_app(app.arguments, version)
    return serve.RunTarget(target=target, name=app.name, route_prefix=app.route_prefix)


def build_apps(service: Service, table: RouteTable) -> Sequence[serve.RunTarget]:
    """The gateway and one application per model, for a cluster on this machine."""
    apps = applications(service, table, cores=os.cpu_count() or 1)
    return [build_app(app, unserved=table.unserved) for app in apps]


def _model_app(arguments: ModelArguments, version: str | None = None) -> serve.Application:
    options = arguments.options
    kind = task_of(arguments.model)
    media = MediaLimits(options.limits.max_pixels, options.limits.max_audio_seconds)
    return build_deployment(
        arguments.model,
        kind,
        EndpointFactory(arguments, Route(arguments.model.name, kind, is_default=arguments.is_default)),
        limits=ReplicaLimits(options.limits.max_waiting, options.limits.max_input_tokens, media),
        cpu_threads=arguments.cpu_threads,
        watch=options.watch,
        start=options.start,
        shutdown_s=options.limits.shutdown_s,
        version=version,
    )
