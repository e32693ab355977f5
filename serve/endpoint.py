"""The ASGI application of one model: parse, predict, render. Runs inside the replica; the front reaches it directly."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from deployments.call import Answer
from deployments.errors import MethodNotAllowed, NotFound
from deployments.replica import Replica
from serve.body import BodyReader
from serve.config import Auth, Limits, MediaSources
from serve.errors import error_answer
from serve.event_stream import send_events
from serve.fetch import Fetcher
from serve.guard import Guard
from serve.keys import KeyRing
from serve.messages import Headers, Receive, Scope, Send, send_json
from serve.request_id import request_id
from serve.routes import Route, RouteTable
from serve.timing import total
from serve.tokens import TokenPaths

logger = logging.getLogger(__name__)


def render(value: Any) -> bytes:
    """An answer as JSON; numpy arrays and numbers are written as they are."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


class Endpoint:
    """`POST` answers a request, `GET` describes the model."""

    # Ray asks an application for its routes on every request; this one has none beyond its prefix.
    routes: tuple[()] = ()
    router = SimpleNamespace(redirect_slashes=False)

    def __init__(
        self, replica: Replica, route: Route, table: RouteTable, limits: Limits, sources: MediaSources
    ) -> None:
        self._replica = replica
        self._route = route
        self._table = table
        self._timeout_s = limits.request_timeout_s
        self._body = BodyReader(replica.task_class.request, replica.task_class.medium, limits)
        self._tokens = TokenPaths(replica, route, limits)
        self._fetcher = Fetcher(sources.allow_urls, int(limits.max_body_mb * 1024 * 1024), limits.request_timeout_s)
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
        self._replica.admit()
        request = await self._fetcher.fetched(await self._body.read(scope, receive))
        if getattr(request, "stream", False):
            await send_events(scope, send, self._replica.stream(request, self._timeout_s), headers, began)
            return None
        answer = await self._replica.predict(request, render, self._timeout_s)
        headers += _measured(answer)
        headers.append((b"server-timing", _timing(answer, began)))
        return 200, answer.body

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
            try:
                self._table.task(parts[1], parts[2])
            except NotFound as error:
                return error
        return NotFound(f"no path {path!r} here; POST to {self._route.paths[-1]}")


def endpoint_builder(
    route: Route, table: RouteTable, limits: Limits, sources: MediaSources, auth: Auth
) -> Callable[[Replica], Endpoint | Guard]:
    """What the deployment is handed, so that the model side need not know this side."""

    def build(replica: Replica) -> Endpoint | Guard:
        endpoint = Endpoint(replica, route, table, limits, sources)
        if auth.api_keys_file is None:
            return endpoint
        return Guard(endpoint, KeyRing(Path(auth.api_keys_file)), model=route.model)

    return build


def _measured(answer: Answer) -> Headers:
    headers = [
        (b"x-batch-size", b"%d" % answer.batch_rows),
        (b"x-padding-ratio", b"%.3f" % answer.padding_ratio),
    ]
    if answer.tokens:
        read, written = answer.tokens
        headers.append((b"x-prompt-tokens", b"%d" % read))
        if written is not None:
            headers.append((b"x-generated-tokens", b"%d" % written))
    if answer.truncated:
        headers.append((b"x-truncated-inputs", b"%d" % answer.truncated))
    return headers


def _timing(answer: Answer, began: float) -> bytes:
    """`Server-Timing`, in milliseconds as its specification says."""
    return b"queue;dur=%.2f, preprocess;dur=%.2f, forward;dur=%.2f, postprocess;dur=%.2f, %b" % (
        answer.queue_s * 1e3,
        answer.preprocess_s * 1e3,
        answer.forward_s * 1e3,
        answer.postprocess_s * 1e3,
        total(began),
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
