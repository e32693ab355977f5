"""The application at "/": aliases, protocols, and pages about the service. Holds no model and imports no torch."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from deployments.errors import MethodNotAllowed, NotFound, Unavailable
from deployments.replica.deployment import SURGE_PERCENT
from deployments.telemetry.logs import log_through_ray
from deployments.telemetry.ray_internals import with_version
from deployments.telemetry.tracing.setup import open_tracer
from serve import routes
from serve.apis.huggingface.paths import below_model
from serve.apis.model_client import ModelClient
from serve.apis.open_inference.grpc_server import Lifespan, grpc_lifespan
from serve.apis.open_inference.inference import OpenInference
from serve.apis.protocols import error_format_of, protocol_routes
from serve.cluster import ray_internals
from serve.cluster.states import ModelState, StateReader
from serve.config.service import Service
from serve.gateway.current_states import CurrentStates
from serve.gateway.metrics import GatewayMetrics
from serve.gateway.openapi import openapi
from serve.http.errors import JSONResponse, error_response
from serve.http.messages import read_body
from serve.middleware.stack import build_middleware
from serve.middleware.tracing import RequestSpans
from serve.playground.routes import PAGE, playground_routes
from serve.upstream.replicas import Replicas
from serve.upstream.serve_handle import ServeReplicas
from serve.upstream.traced import TracedReplicas

if TYPE_CHECKING:
    from deployments.telemetry.tracing.tracer import Tracer

STREAM = b'"stream"'  # in the body of every request for a stream: JSON, or a form
# Path prefixes that need no key. The playground's files contain nothing of the service, and a browser sends no key with
# them; the requests that the page makes are not among these.
PUBLIC = ("/health/", "/v2/health/", PAGE)
# States of a model without replicas. A "warming" one has one in a moment, or had one that a new head does not know yet.
BEFORE_REPLICA = ("waiting", "downloading", "loading", "checking", "failed")
RETRY_AFTER_S = 5  # for a model that is loading, which takes seconds to minutes

_DOCS_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>automodel-serve: API</title>
  <link rel="stylesheet" href="/docs/static/swagger-ui.css">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="/docs/static/swagger-ui-bundle.js"></script>
  <script>SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true });</script>
</body>
</html>
"""


class Gateway:
    """Lists of models, health, docs, the protocols, and the paths that name a model or an alias."""

    def __init__(self, table: routes.RouteTable, config: Service) -> None:
        self._table = table
        self._config = config
        self._sources = {model.name: model.model for model in config.models}
        self._tracer = _open_tracer(config)
        replicas = ServeReplicas(self._require_replica, config.limits.request_timeout_s)
        self._replicas: Replicas = replicas if self._tracer is None else TracedReplicas(replicas)
        self._states = CurrentStates(StateReader(config.models))
        self._starting_on_request = frozenset(model.name for model in config.models if not model.replicas.min)
        log_through_ray(config.logging)
        self._metrics = GatewayMetrics(config.options)
        self._started = int(time.time())

    def __serve_build_asgi_app__(self) -> Starlette:
        limits = self._config.limits
        client = ModelClient(self._table, self._replicas, limits.body)
        inference = OpenInference(client, self._table, self._states.read)
        return Starlette(
            routes=[
                Route("/", self.index),
                Route("/v1/models", self.list_models),
                Route("/v1/models/{model}", self.show_model),
                Route("/health/live", self.live),
                Route("/health/ready", self.ready),
                *self._metrics.routes(),
                Route("/openapi.json", self.openapi),
                Route("/docs", self.docs),
                Mount("/docs/static", StaticFiles(directory=_swagger_files())),
                *playground_routes(),
                Route("/models/{model}{below:below}", self.by_model, methods=["GET", "POST"]),
                *protocol_routes(client, inference, limits),
                Route("/tasks/{task}{below:below}", self.by_task, methods=["GET", "POST"]),
                Route("/tasks/{task}/{model}{below:below}", self.by_task, methods=["GET", "POST"]),
            ],
            middleware=build_middleware(
                self._config.options,
                self._metrics.on_end,
                error_format_of,
                public=self._metrics.public(PUBLIC),
                spans=None if self._tracer is None else RequestSpans(self._tracer),
            ),
            exception_handlers={404: _no_path, 405: _no_method, Exception: _internal_error},
            lifespan=self._lifespan(grpc_lifespan(inference, self._config, _http_host)),
        )

    def _lifespan(self, grpc: Lifespan) -> Lifespan:
        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[None]:
            await self._states.read()  # so that a new gateway knows which models were ready before it
            async with grpc(app):
                yield

        return lifespan

    def __del__(self) -> None:
        tracer = getattr(self, "_tracer", None)
        if tracer is not None:
            tracer.close()

    async def index(self, request: Request) -> Response:
        """The served models, and links."""
        models = [
            {"model": route.model, "task": route.task, "source": self._sources[route.model], "paths": route.paths}
            for route in self._table.routes
        ]
        links = {
            "playground": PAGE,
            "docs": "/docs",
            "openapi": "/openapi.json",
            "models": "/v1/models",
            "ready": "/health/ready",
        }
        about = {"service": "automodel-serve", "version": version("automodel-serve")}
        return JSONResponse(about | {"models": models, "links": links})

    async def list_models(self, request: Request) -> Response:
        """OpenAI's list, each entry with its task."""
        return JSONResponse({"object": "list", "data": [self._entry(route) for route in self._table.routes]})

    async def show_model(self, request: Request) -> Response:
        try:
            return JSONResponse(self._entry(self._table.model(request.path_params["model"])))
        except NotFound as error:
            return error_response(error, request.scope)

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """200 once every model has a ready replica; 503 before that, with the state of each."""
        unserved = {name: ModelState("failed", reason, 0) for name, reason in self._table.unserved.items()}
        states = {**await self._states.read(), **unserved}
        is_ready = all(state.is_ready for state in states.values())
        models = {
            name: {"state": state.state, "replicas": state.replicas}
            | ({"progress" if state.state == "downloading" else "reason": state.detail} if state.detail else {})
            for name, state in states.items()
        }
        is_over = all(state.is_ready or state.state == "failed" for state in states.values())
        status = "ready" if is_ready else "failed" if is_over else "loading"
        return JSONResponse({"status": status, "models": models}, 200 if is_ready else 503)

    async def _require_replica(self, route: routes.Route) -> None:
        """Refuse a request that would have to wait until the model is loaded.

        Raises:
            Unavailable: the model has no replica, and a request does not start one; if it failed, the reason.
        """
        state = (await self._states.known()).get(route.model)
        if state is None or state.state not in BEFORE_REPLICA or route.model in self._starting_on_request:
            return
        if state.state == "failed":
            raise Unavailable(f"{route.model} cannot be served: {state.detail}")
        raise Unavailable(f"{route.model} has no replica yet ({state.state}); retry later", retry_after=RETRY_AFTER_S)

    async def openapi(self, request: Request) -> Response:
        return Response(self._document, media_type="application/json")

    @cached_property
    def _document(self) -> bytes:
        """The OpenAPI document, built once: it takes a tenth of a second, in which the gateway does nothing else."""
        return bytes(JSONResponse(openapi(self._table)).body)

    async def docs(self, request: Request) -> Response:
        return HTMLResponse(_DOCS_PAGE)

    async def by_model(self, request: Request) -> Response:
        return await self._forward(request, lambda: self._table.model(request.path_params["model"]))

    async def by_task(self, request: Request) -> Response:
        """Aliases, and names that match no application's prefix."""
        parameters = request.path_params
        return await self._forward(request, lambda: self._table.task(parameters["task"], parameters.get("model")))

    async def _forward(self, request: Request, find: Callable[[], routes.Route]) -> Response:
        """Pass a request on to the model's replica, unchanged."""
        try:
            route = find()
            body = await read_body(request.scope, request.receive, self._config.limits.body)
            arguments = (route, request.method, request.headers.raw, body, below_model(request, route.kind, body))
            if STREAM in body:
                streamed = await self._replicas.stream(*arguments)
                response: Response = StreamingResponse(streamed.chunks, streamed.status)
                response.raw_headers[:] = streamed.headers
                return response
            reply = await self._replicas.request(*arguments)
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception as error:
            return error_response(error, request.scope)
        response = Response(reply.body, reply.status)
        response.raw_headers[:] = reply.headers
        return response

    def _entry(self, route: routes.Route) -> dict[str, Any]:
        return {
            "id": route.model,
            "object": "model",
            "created": self._started,
            "owned_by": "automodel-serve",
            "task": route.task,
            "paths": route.paths,
        }


def build_gateway(table: routes.RouteTable, config: Service, version: str | None = None) -> serve.Application:
    """The gateway's Serve application; `version` as in `build_deployment`."""
    deployment = serve.deployment(serve.ingress()(Gateway)).options(
        name="gateway",
        num_replicas=1,
        max_ongoing_requests=4096,
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=config.limits.shutdown_s,
        logging_config=LoggingConfig(enable_access_log=False),
        max_surge_percent=SURGE_PERCENT,
    )
    if version is not None:
        deployment = with_version(deployment, version)
    return deployment.bind(table, config)


async def _no_path(request: Request, error: Exception) -> Response:
    known = "/tasks/<task>, /models/<model>, /v1/models, /health/ready, /docs"
    return error_response(NotFound(f"no path {request.url.path!r}; there are {known}"), request.scope)


async def _no_method(request: Request, error: Exception) -> Response:
    message = f"{request.method} is not allowed on {request.url.path}"
    return error_response(MethodNotAllowed(message), request.scope)


async def _internal_error(request: Request, error: Exception) -> Response:
    return error_response(error, request.scope)


def _http_host() -> str:
    """The address on which HTTP is served."""
    address = ray_internals.http_address()
    assert address is not None
    return address.host


def _swagger_files() -> Path:
    """Swagger UI from the package fastapi-offline, so that the page loads nothing from other hosts."""
    spec = find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


def _open_tracer(config: Service) -> "Tracer | None":
    """This replica's tracer; None if no endpoint is configured."""
    if config.tracing.endpoint is None:
        return None
    return open_tracer(config.tracing, serve.get_replica_context().replica_id.unique_id)
