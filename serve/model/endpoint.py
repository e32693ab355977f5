"""The ASGI application of one model: parse, predict, render. Runs inside the replica; the front reaches it directly."""

import asyncio
import difflib
import logging
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson

from deployments.errors import InvalidInput, MethodNotAllowed, NotFound, Overloaded
from deployments.replica.replica import Replica
from deployments.telemetry.measurements import Answer
from serve.config.service import Limits, MediaSources, Options
from serve.http.body import BodyReader
from serve.http.errors import error_answer
from serve.http.fetch import Fetcher
from serve.http.messages import Headers, Receive, Scope, Send, request_id, send_json, timeout_of
from serve.http.request_context import current
from serve.http.server_timing import measured, total
from serve.http.sse import send_events
from serve.middleware import load_shedding
from serve.middleware.access_log import told_of_model
from serve.middleware.stack import Layered, layers
from serve.middleware.tracing import RequestSpans
from serve.model.app import ModelApp
from serve.model.tokens import TokenPaths
from serve.routes import Route

logger = logging.getLogger(__name__)


def render(value: Any) -> bytes:
    """An answer as JSON; numpy arrays and numbers are written as they are."""
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
        self._model_header = (b"x-model", route.model.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        began = time.perf_counter()
        headers: Headers = [self._model_header]
        try:
            answered = await self._answer(scope, receive, send, headers)
            if answered is None:
                return
            status, body = answered
        except asyncio.CancelledError:
            raise
        except Exception as error:
            status, body, extra = error_answer(error, request_id(scope))
            headers += [*extra, (b"server-timing", total(began))]
        await send_json(send, status, body, headers)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> tuple[int, bytes] | None:
        """The answer's status and body; its headers are added to `headers`. None if it was streamed."""
        began = time.perf_counter()
        path = scope["path"]
        if path in self._tokens:
            return 200, await self._tokens.answer(scope, receive)
        if path not in self._paths:
            raise self._not_here(path)
        if scope["method"] in ("GET", "HEAD"):
            headers.append((b"server-timing", total(began)))
            return 200, render(self.describe())
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{scope['method']} is not possible here; POST a request, or GET the description")
        timeout_s = timeout_of(scope, self._timeout_s)
        with self._replica.place(timeout_s):
            request = await self._fetcher.fetched(await self._body.read(scope, receive))
            left_s = timeout_s - (time.perf_counter() - began)
            if getattr(request, "stream", False):
                await self._stream(scope, send, request, left_s, headers, began)
                return None
            answer = await self._replica.predict(request, render, left_s, current().trace)
        current().answer = answer
        headers += measured(answer, began)
        return 200, answer.body

    async def _stream(
        self, scope: Scope, send: Send, request: Any, timeout_s: float, headers: Headers, began: float
    ) -> None:
        record = current()

        def tell(answer: Answer) -> None:
            record.answer = answer

        def all_headers() -> Headers:
            told = [(b"server-timing", total(began))] if record.answer is None else measured(record.answer, began)
            return headers + told

        await send_events(scope, send, self._replica.stream(request, timeout_s, tell, record.trace), all_headers)

    def refusal(self, scope: Scope) -> Overloaded | None:
        """Why a request is refused here and now for the others that wait; None also where anything else is wrong."""
        if scope["method"] != "POST" or scope["path"] not in self._paths:
            return None
        try:
            return self._replica.refusal(timeout_of(scope, self._timeout_s))
        except InvalidInput:
            return None

    def is_full(self) -> bool:
        """Whether nobody is let in, whatever time he has, nor would be in the next moment."""
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
                "architecture": type(task.checkpoint.model).__name__,
                "dtype": task.checkpoint.dtype,
                "device": task.checkpoint.device,
                "max_length": getattr(task, "max_length", None),
                **task.about(),
                **self._replica.description,
            }
        return description

    def _not_here(self, path: str) -> NotFound:
        """Below the prefix of a default model lie names of models that do not exist."""
        parts = path.strip("/").split("/")
        if len(parts) == 3 and parts[0] == "tasks":
            is_near = difflib.get_close_matches(parts[2], [self._route.model], n=1)
            hint = f"did you mean {self._route.model!r}?" if is_near else "/v1/models lists what is served"
            return NotFound(f"no model {parts[2]!r} of the task {parts[1]}; {hint}")
        return NotFound(f"no path {path!r} here; POST to {self._route.paths[-1]}")


def endpoint_builder(route: Route, options: Options) -> Callable[[Replica], Layered]:
    """What the deployment is handed, so that the model side need not know this side."""

    def build(replica: Replica) -> Layered:
        endpoint = Endpoint(replica, route, options.limits, options.media)
        app = ModelApp(endpoint, replica, route, options.limits)
        tracer = replica.observer.tracer
        spans = None if tracer is None else RequestSpans(tracer, route.paths)
        around = layers(options, told_of_model(replica.observer, route), model=route.model, spans=spans)
        load_shedding.open_to(Layered(load_shedding.Refuse(endpoint.is_full), around), endpoint.refusal)
        return Layered(app, around)

    return build


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
