"""The ASGI application of one model: parse, predict, render. Runs within the replica, behind the proxy."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import orjson

from deployments.checkpoints.facts import facts_of
from deployments.errors import InvalidInput, MethodNotAllowed, NotFound, Overloaded, did_you_mean
from deployments.replica.replica import Replica
from deployments.telemetry.measurements import Answer
from serve.apis.protocols import error_format_of
from serve.applications import ModelArguments
from serve.cluster.haproxy import REROUTED
from serve.config.service import Limits, MediaSources, Options
from serve.http.body import BodyReader
from serve.http.errors import send_error
from serve.http.fetch import Fetcher
from serve.http.messages import Headers, Receive, Scope, Send, request_timeout, send_json
from serve.http.request_context import current_context
from serve.http.server_timing import answer_headers, total_entry
from serve.http.sse import send_events
from serve.middleware import load_shedding
from serve.middleware.access_log import model_request_logger
from serve.middleware.stack import WrappedApp, build_middleware
from serve.middleware.tracing import RequestSpans
from serve.model.app import ModelApp
from serve.model.tokens import TokenPaths
from serve.routes import Route

logger = logging.getLogger(__name__)

MAX_NAMES = 8  # of unused weights


def render(value: Any) -> bytes:
    """An answer as JSON, with numpy arrays and numbers."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


class Endpoint:
    """`POST` answers a request, `GET` describes the model."""

    # Ray asks an application for its routes on every request; this one has none beyond its prefix.
    routes: tuple[()] = ()
    router = SimpleNamespace(redirect_slashes=False)

    def __init__(self, replica: Replica, route: Route, limits: Limits, sources: MediaSources) -> None:
        self._replica = replica
        self._route = route
        self._timeout_s = limits.request_timeout_s
        self._body = BodyReader(replica.task_class.request, replica.task_class.medium, limits)
        self._tokens = TokenPaths(replica, route, limits)
        self._fetcher = Fetcher(sources.allow_urls, limits.body.size, limits.request_timeout_s)
        self._paths = frozenset(path + end for path in route.paths for end in ("", "/"))
        self._rerouted = f"{route.prefix}{REROUTED}/"
        self._model_header = (b"x-model", route.model.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        began = time.perf_counter()
        headers: Headers = [self._model_header]
        try:
            response = await self._respond(scope, receive, send, headers)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            await send_error(scope, send, error, [self._model_header, (b"server-timing", total_entry(began))])
            return
        if response is not None:
            await send_json(send, *response, headers)

    async def _respond(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> tuple[int, bytes] | None:
        """The response's status and body; its headers are added to `headers`. None if it was streamed."""
        began = time.perf_counter()
        path = scope["path"]
        if path in self._tokens:
            return 200, await self._tokens.answer(scope, receive)
        if path not in self._paths:
            raise self._not_found(path)
        if scope["method"] in ("GET", "HEAD"):
            headers.append((b"server-timing", total_entry(began)))
            return 200, render(self.describe())
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{scope['method']} is not allowed; POST a request, or GET the description")
        timeout_s = request_timeout(scope, self._timeout_s)
        with self._replica.place(timeout_s):
            request = await self._fetcher.fetch(await self._body.read(scope, receive))
            left_s = timeout_s - (time.perf_counter() - began)
            if getattr(request, "stream", False):
                await self._stream(scope, send, request, left_s, headers, began)
                return None
            answer = await self._replica.predict(request, render, left_s, current_context().trace)
        current_context().answer = answer
        headers += answer_headers(answer, began)
        return 200, answer.body

    async def _stream(
        self, scope: Scope, send: Send, request: Any, timeout_s: float, headers: Headers, began: float
    ) -> None:
        context = current_context()

        def set_answer(answer: Answer) -> None:
            context.answer = answer

        def all_headers() -> Headers:
            answer = context.answer
            return headers + (
                [(b"server-timing", total_entry(began))] if answer is None else answer_headers(answer, began)
            )

        await send_events(scope, send, self._replica.stream(request, timeout_s, set_answer, context.trace), all_headers)

    def refusal(self, scope: Scope) -> Overloaded | None:
        """The error if the request is refused because of the queue; None also if anything else is wrong with it."""
        path = scope["path"]
        if scope["method"] != "POST" or not (path in self._paths or path.startswith(self._rerouted)):
            return None
        try:
            return self._replica.refusal(request_timeout(scope, self._timeout_s))
        except InvalidInput:
            return None

    def is_full(self) -> bool:
        """Whether every request is refused now and for the next moment, whatever its timeout."""
        return self._replica.is_full(self._timeout_s)

    def describe(self) -> dict[str, Any]:
        """What this replica serves, and how."""
        task = self._replica.task
        description: dict[str, Any] = {
            "model": self._route.model,
            "task": self._route.task,
            "paths": self._route.paths,
            "example": self._replica.task_class.example,
        }
        if task is not None and self._replica.description:
            description |= {
                "source": self._replica.config.model,
                "revision": self._replica.config.revision,
                "architecture": facts_of(task.checkpoint.model).class_name,
                "dtype": task.checkpoint.dtype,
                "device": task.checkpoint.device,
                "max_length": getattr(task, "max_length", None),
                "adapter": task.checkpoint.adapter,
                "unused_weights": _first(task.checkpoint.unused_weights),
                **task.about(),
                **self._replica.description,
            }
        return description

    def _not_found(self, path: str) -> NotFound:
        """Below the prefix of a default model are the names of models that do not exist."""
        parts = path.strip("/").split("/")
        if len(parts) == 3 and parts[0] == "tasks":
            hint = did_you_mean(parts[2], [self._route.model], listed="/v1/models lists what is served")
            return NotFound(f"no model {parts[2]!r} of the task {parts[1]}; {hint}")
        return NotFound(f"no path {path!r} here; POST to {self._route.paths[-1]}")


def _first(names: Sequence[str]) -> list[str]:
    """The first names, and how many there are more."""
    more = [f"and {len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else []
    return [*names[:MAX_NAMES], *more]


@dataclass(frozen=True, slots=True)
class EndpointFactory:
    """Builds a replica's ASGI application, so that the model side need not know this side.

    Attributes:
        arguments: of the Serve application; `apply` reads them back from a running service.
        route: to the model.
    """

    arguments: ModelArguments
    route: Route

    def __call__(self, replica: Replica) -> WrappedApp:
        return build_endpoint(replica, self.route, self.arguments.options)


def build_endpoint(replica: Replica, route: Route, options: Options) -> WrappedApp:
    """The replica's ASGI application with its middleware; also installs load shedding in this process."""
    endpoint = Endpoint(replica, route, options.limits, options.media)
    app = ModelApp(endpoint, replica, route, options.limits)
    tracer = replica.observer.tracer
    spans = None if tracer is None else RequestSpans(tracer, route.paths)
    on_end = model_request_logger(replica.observer, route)
    stack = build_middleware(options, on_end, error_format_of, route=route, spans=spans)
    load_shedding.install(WrappedApp(load_shedding.RefusalApp(endpoint.is_full), stack), endpoint.refusal)
    return WrappedApp(app, stack)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
