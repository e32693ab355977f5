"""The application at "/": what a path cannot say, and what people look at. Holds no model and imports no torch."""

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
from ray.serve.context import _get_global_client
from ray.serve.schema import LoggingConfig
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from deployments.errors import MethodNotAllowed, NotFound
from deployments.replica.deployment import SURGE_PERCENT
from deployments.telemetry.logs import log_through_ray
from deployments.telemetry.tracing.setup import open_tracer
from serve import routes
from serve.apis.embeddings_inference.routes import embeddings_inference_routes
from serve.apis.huggingface.paths import below_model
from serve.apis.model_client import ModelClient
from serve.apis.open_inference.grpc_server import Lifespan, grpc_lifespan
from serve.apis.open_inference.inference import OpenInference
from serve.apis.open_inference.routes import open_inference_routes
from serve.apis.openai.routes import openai_routes
from serve.cluster.states import ModelState, StateReader
from serve.config.service import Service
from serve.gateway.metrics import GatewayMetrics
from serve.gateway.openapi import openapi
from serve.http.errors import JSONResponse, error_answer
from serve.http.messages import read_body, request_id
from serve.middleware.stack import layers
from serve.middleware.tracing import RequestSpans
from serve.playground.routes import PAGE, playground_routes
from serve.upstream.replicas import Replicas
from serve.upstream.serve_handle import ServeReplicas
from serve.upstream.traced import TracedReplicas

if TYPE_CHECKING:
    from deployments.telemetry.tracing.tracer import Tracer

STREAM = b'"stream"'  # in the body of every request that wants a stream: JSON, or a form
# What needs no key. The page's files hold nothing of the service, and a browser sends no key with them; what the page
# asks for is not among them.
PUBLIC = ("/health/", "/v2/health/", PAGE)
STATE_AGE_S = 1.0  # asking Serve's controller costs milliseconds; health checks may come often


class Gateway:
    """Lists, health, docs, and the paths that name a model or an alias."""

    def __init__(self, table: routes.RouteTable, config: Service) -> None:
        self._table = table
        self._limits = config.limits
        self._limit = config.limits.body
        self._sources = {model.name: model.model for model in config.models}
        self._tracer = _tracer(config)
        upstream = ServeReplicas(config.limits.request_timeout_s)
        self._replicas: Replicas = upstream if self._tracer is None else TracedReplicas(upstream)
        self._reader = StateReader(config.models)
        self._states: dict[str, ModelState] = {}
        self._states_at = 0.0
        log_through_ray(config.logging)
        self._config = config
        self._metrics = GatewayMetrics(config.options)
        self._started = int(time.time())

    def __serve_build_asgi_app__(self) -> Starlette:
        client = ModelClient(self._table, self._replicas, self._limit)
        inference = OpenInference(client, self._table, self._current_states)
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
                *openai_routes(client),
                *embeddings_inference_routes(client, self._limits),
                *open_inference_routes(client, inference, self._limits),
                Route("/tasks/{task}{below:below}", self.by_task, methods=["GET", "POST"]),
                Route("/tasks/{task}/{model}{below:below}", self.by_task, methods=["GET", "POST"]),
            ],
            middleware=layers(
                self._config.options,
                self._metrics.ended,
                public=self._metrics.public(PUBLIC),
                spans=None if self._tracer is None else RequestSpans(self._tracer),
            ),
            exception_handlers={404: self._no_path, 405: self._no_method, Exception: _failed},
            lifespan=self._lifespan(grpc_lifespan(inference, self._config, _http_host)),
        )

    def _lifespan(self, grpc: Lifespan) -> Lifespan:
        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[None]:
            await self._current_states()  # a new gateway does not take models for new that were there before it
            async with grpc(app):
                yield

        return lifespan

    def __del__(self) -> None:
        tracer = getattr(self, "_tracer", None)
        if tracer is not None:
            tracer.close()

    async def index(self, request: Request) -> Response:
        """What runs here."""
        return JSONResponse(
            {
                "service": "automodel-serve",
                "version": version("automodel-serve"),
                "models": [
                    {
                        "model": route.model,
                        "task": route.task,
                        "source": self._sources[route.model],
                        "paths": route.paths,
                    }
                    for route in self._table.routes
                ],
                "links": {
                    "playground": PAGE,
                    "docs": "/docs",
                    "openapi": "/openapi.json",
                    "models": "/v1/models",
                    "ready": "/health/ready",
                },
            }
        )

    async def list_models(self, request: Request) -> Response:
        """OpenAI's list, each entry with its task."""
        return JSONResponse({"object": "list", "data": [self._entry(route) for route in self._table.routes]})

    async def show_model(self, request: Request) -> Response:
        return self._answer(request, lambda: self._entry(self._table.model(request.path_params["model"])))

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """200 once every model has a warmed replica; 503 before, with how far each is."""
        states = await self._current_states()
        ready = all(state.is_ready for state in states.values())
        models = {
            name: {"state": state.state, "replicas": state.replicas}
            | ({"progress" if state.state == "downloading" else "reason": state.detail} if state.detail else {})
            for name, state in states.items()
        }
        return JSONResponse({"status": "ready" if ready else "loading", "models": models}, 200 if ready else 503)

    async def _current_states(self) -> dict[str, ModelState]:
        """Each model's state, at most `STATE_AGE_S` old."""
        if time.monotonic() - self._states_at > STATE_AGE_S:
            self._states = await asyncio.to_thread(self._reader.read)
            self._states_at = time.monotonic()
        return self._states

    async def openapi(self, request: Request) -> Response:
        return Response(self._document, media_type="application/json")

    @cached_property
    def _document(self) -> bytes:
        """The OpenAPI document, made once: it takes a tenth of a second, in which the gateway does nothing else."""
        return bytes(JSONResponse(openapi(self._table)).body)

    async def docs(self, request: Request) -> Response:
        return HTMLResponse(docs_page())

    async def by_model(self, request: Request) -> Response:
        return await self._pass_on(request, lambda: self._table.model(request.path_params["model"]))

    async def by_task(self, request: Request) -> Response:
        """Aliases, and names that no application's prefix matched."""
        parameters = request.path_params
        return await self._pass_on(request, lambda: self._table.task(parameters["task"], parameters.get("model")))

    async def _pass_on(self, request: Request, find: Callable[[], routes.Route]) -> Response:
        """Let the model's replica answer, as if it had been asked directly."""
        try:
            route = find()
            body = await read_body(request.scope, request.receive, self._limit)
            asked = (route, request.method, request.headers.raw, body, below_model(request, route.kind, body))
            if STREAM in body:
                streamed = await self._replicas.stream(*asked)
                answer: Response = StreamingResponse(streamed.pieces, streamed.status)
                answer.raw_headers[:] = streamed.headers
                return answer
            reply = await self._replicas.request(*asked)
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception as error:
            return _error(request, error)
        answer = Response(reply.body, reply.status)
        answer.raw_headers[:] = reply.headers
        return answer

    def _entry(self, route: routes.Route) -> dict[str, Any]:
        return {
            "id": route.model,
            "object": "model",
            "created": self._started,
            "owned_by": "automodel-serve",
            "task": route.task,
            "paths": route.paths,
        }

    def _answer(self, request: Request, make: Callable[[], Any]) -> Response:
        try:
            return JSONResponse(make())
        except Exception as error:
            return _error(request, error)

    async def _no_path(self, request: Request, error: Exception) -> Response:
        known = "/tasks/<task>, /models/<model>, /v1/models, /health/ready, /docs"
        return _error(request, NotFound(f"no path {request.url.path!r}; there are {known}"))

    async def _no_method(self, request: Request, error: Exception) -> Response:
        return _error(request, MethodNotAllowed(f"{request.method} is not possible on {request.url.path}"))


async def _failed(request: Request, error: Exception) -> Response:
    return _error(request, error)


def _error(request: Request, error: BaseException) -> Response:
    status, body, headers = error_answer(error, request_id(request.scope))
    response = Response(body, status, media_type="application/json")
    response.raw_headers.extend(headers)
    return response


def _http_host() -> str:
    """The address that HTTP listens on."""
    return str(_get_global_client().http_config.host)


def _swagger_files() -> Path:
    """Swagger UI as the package fastapi-offline ships it, so that the page asks no other host."""
    spec = find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


def _tracer(config: Service) -> "Tracer | None":
    """Of this replica; a gateway that is made to see its routes is none."""
    if config.tracing.endpoint is None:
        return None
    return open_tracer(config.tracing, serve.get_replica_context().replica_id.unique_id)


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
        deployment = deployment.options(version=version, _internal=True)
    return deployment.bind(table, config)


def docs_page() -> str:
    return """<!doctype html>
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
