"""The composition root: a ServiceConfig becomes Serve applications. The only place that knows all the parts.

Ray calls the two builders by their import path on a cluster and reads the type of what they take: no
`from __future__ import annotations` here, or it would hand them a bare dictionary.
"""

import os
from collections.abc import Sequence

from ray import serve

from deployments.deployment import build_deployment
from deployments.limits import ReplicaLimits
from deployments.media.limits import MediaLimits
from deployments.registry import task_of
from serve.applications import ModelArguments, applications
from serve.config import Service
from serve.endpoint import endpoint_builder
from serve.gateway import build_gateway
from serve.routes import Route, RouteTable, route_table


def model_app(arguments: ModelArguments) -> serve.Application:
    """The application of one model."""
    options = arguments.options
    kind = task_of(arguments.model)
    route = Route(arguments.model.name, kind, is_default=arguments.is_default)
    media = MediaLimits(options.limits.max_pixels, options.limits.max_audio_seconds)
    return build_deployment(
        arguments.model,
        kind,
        endpoint_builder(route, options),
        limits=ReplicaLimits(options.limits.max_waiting, options.limits.max_input_tokens, media),
        cpu_threads=arguments.cpu_threads,
        watch=options.watch,
    )


def gateway_app(service: Service) -> serve.Application:
    """The application at "/"."""
    return build_gateway(route_table(service), service)


def build_apps(service: Service, table: RouteTable) -> Sequence[serve.RunTarget]:
    """The gateway and one Serve application per model, for a cluster of this machine."""
    return [
        serve.RunTarget(
            target=gateway_app(app.arguments) if isinstance(app.arguments, Service) else model_app(app.arguments),
            name=app.name,
            route_prefix=app.route_prefix,
        )
        for app in applications(service, table, cores=os.cpu_count() or 1)
    ]
