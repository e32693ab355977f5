"""The ASGI application of one model: its endpoint, the protocols, and what Hugging Face's clients use below its URL.

HAProxy sends a protocol's request to the replica itself if it finds the model in its path or body. The gateway answers
the others.

`InferenceClient(model=URL)` posts most tasks to the URL itself, chats to `{URL}/v1/chat/completions`, and gets
`{URL}/info` and `{URL}/health`. `{URL}/pipeline/{task}` names a view of the model's task.
"""

from functools import partial
from types import SimpleNamespace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from deployments import asgi
from deployments.asgi import ASGIApp
from deployments.errors import MethodNotAllowed, NotFound, ServiceError, Unavailable, did_you_mean
from deployments.replica.replica import Replica
from serve.apis.embeddings_inference.info import Info
from serve.apis.embeddings_inference.vectors import Vectors
from serve.apis.huggingface.completions import HuggingFaceCompletions
from serve.apis.huggingface.paths import (
    BELOW,
    CHAT,
    COMPLETIONS,
    HEALTH,
    INFO,
    PIPELINE,
    below_model,
    has_view_by_body,
)
from serve.apis.huggingface.text_to_text import TextToText
from serve.apis.huggingface.visual_questions import VisualQuestions
from serve.apis.huggingface.zero_shot import ZeroShot
from serve.apis.huggingface.zero_shot_media import ZeroShotAudioRequest, ZeroShotImageRequest, ZeroShotMedia
from serve.apis.model_client import Handler, ModelClient, SingleModelClient, as_json, with_errors
from serve.apis.open_inference.messages import VERSION
from serve.apis.openai.chat import Chat
from serve.apis.openai.errors import openai_error
from serve.apis.protocols import model_operations
from serve.config.service import Limits
from serve.http.errors import JSONResponse, native_format, send_error
from serve.http.messages import Message, Receive, Scope, Send, header, read_body
from serve.routes import Route

JAVASCRIPT = "@huggingface/inference/"  # how its User-Agent begins
ONE_TEXT = ("image-to-text",)  # tasks for which it expects one text, where the Python client expects a list


class ModelApp:
    """A model's endpoint, the paths below its URL, and the paths of other services that can name it.

    Args:
        endpoint: the ASGI application of the model's own URL.
        replica: behind it.
        route: to it.
        limits: of the service.
    """

    # Ray asks an application for its routes on every request; this one has none beyond its prefix.
    routes: tuple[()] = ()
    router = SimpleNamespace(redirect_slashes=False)

    def __init__(self, endpoint: ASGIApp, replica: Replica, route: Route, limits: Limits) -> None:
        self._endpoint = endpoint
        self._replica = replica
        self._route = route
        self._body_limit = limits.body
        client = SingleModelClient(route, endpoint, limits.body)
        self._info = Info(client, limits)
        handlers = self._handlers(client)
        self._pipelines = {PIPELINE + name for name in (route.task, *route.kind.aliases)}
        self._below = {path + below: handler for path in route.paths for below, handler in handlers.items()}
        self._has_view_by_body = has_view_by_body(route.kind)
        self._operations = model_operations(endpoint, route, limits)
        self._names = [f"/models/{route.model}"]
        self._names += [f"/tasks/{alias}{end}" for alias in route.kind.aliases for end in (f"/{route.model}", "")]
        # A view has a handler of its own; every other name of the task means the model's own URL.
        self._own = {path + pipeline for path in route.paths for pipeline in self._pipelines - handlers.keys()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._endpoint(scope, receive, send)
            return
        operation = self._operations.get(scope["path"])
        if operation is not None and scope["method"] == "POST":
            scope["route"] = operation  # for the trace
            scope["path_params"] = {"model": self._route.model, "version": VERSION}
            await _answer(operation.endpoint, scope, receive, send)
            return
        try:
            scope, receive = await self._at_own_path(scope, receive)
        except ServiceError as error:
            await send_error(scope, send, error)
            return
        await self._call(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request at or below the model's own path."""
        path = scope["path"]
        handler = self._below.get(path)
        if handler is None and path in self._own:
            scope = dict(scope) | {"path": self._route.path}
        elif handler is None and PIPELINE in path:
            handler = with_errors(self._no_pipeline, native_format)
        if handler is None and self._expects_one_text(scope):
            handler = with_errors(self._one_text, native_format)
        if handler is None:
            await self._endpoint(scope, receive, send)
        else:
            await _answer(handler, scope, receive, send)

    async def _at_own_path(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        """A request to another name of the model, as one at or below its own path; any other is returned unchanged.

        Raises:
            ServiceError: the body, which can choose a view of the task, cannot be read.
        """
        path = scope["path"]
        for name in self._names:
            if path.startswith(name) and BELOW.fullmatch(below := path[len(name) :]):
                break
        else:
            return scope, receive
        pattern = name.replace(f"/{self._route.model}", "/{model}")
        scope["route"] = SimpleNamespace(path=pattern + below)  # for the trace
        body = b""
        if not below and name.startswith("/models/") and self._has_view_by_body:
            body = await read_body(scope, receive, self._body_limit)
            receive = _repeated(body, receive)
        names = {"below": below} | ({"task": name.split("/")[2]} if name.startswith("/tasks/") else {})
        below = below_model(Request(dict(scope) | {"path_params": names}), self._route.kind, body)
        return dict(scope) | {"path": self._route.path + below}, receive

    def _handlers(self, client: ModelClient) -> dict[str, Handler]:
        """The handlers below the model's URL, each with its protocol's error format."""
        views: dict[str, Handler] = {
            "zero-shot-classification": ZeroShot(client),
            "zero-shot-image-classification": ZeroShotMedia(client, ZeroShotImageRequest, "labels of images"),
            "zero-shot-audio-classification": ZeroShotMedia(client, ZeroShotAudioRequest, "labels of recordings"),
            "sentence-similarity": as_json(partial(Vectors(client).similarity, truncate=True)),
            "visual-question-answering": VisualQuestions(client),
            "summarization": TextToText(client, "summary_text", "summarization"),
            "translation": TextToText(client, "translation_text", "translation"),
        }
        openai: dict[str, Handler] = {CHAT: Chat(client), COMPLETIONS: HuggingFaceCompletions(client)}
        native = {PIPELINE + name: views[name] for name in self._route.kind.aliases if name in views}
        return (
            {below: with_errors(_only("POST", handler), openai_error) for below, handler in openai.items()}
            | {below: with_errors(_only("POST", handler), native_format) for below, handler in native.items()}
            | {
                INFO: with_errors(_only("GET", self._information), native_format),
                HEALTH: with_errors(_only("GET", self._health), native_format),
            }
        )

    async def _information(self, request: Request) -> Response:
        """TEI's fields, and the rest under TGI's names."""
        description = await self._description()
        names = {"model_pipeline_tag": self._route.task, "model_device_type": description["device"]}
        return JSONResponse(await self._info(request) | names)

    async def _health(self, request: Request) -> Response:
        """200 while the model answers."""
        await self._description()
        try:
            self._replica.check_health()
        except RuntimeError as error:
            raise Unavailable(str(error), retry_after=5) from error
        return JSONResponse({"status": "ready"})

    async def _description(self) -> dict[str, Any]:
        """The endpoint's description of the model.

        Raises:
            Unavailable: the model is loading.
        """
        _, _, body = await asgi.request(self._endpoint, "GET", self._route.path, [], b"")
        description: dict[str, Any] = orjson.loads(body)
        if "source" not in description:
            raise Unavailable(f"{self._route.model} is loading", retry_after=5)
        return description

    async def _no_pipeline(self, request: Request) -> Response:
        name = request.url.path.rsplit(PIPELINE, 1)[1]
        known = sorted(pipeline.removeprefix(PIPELINE) for pipeline in self._pipelines)
        hint = did_you_mean(name, known)
        raise NotFound(f"the model {self._route.model!r} has no pipeline {name!r}; {hint}")

    def _expects_one_text(self, scope: Scope) -> bool:
        return self._route.task in ONE_TEXT and (header(scope, b"user-agent") or "").startswith(JAVASCRIPT)

    async def _one_text(self, request: Request) -> Response:
        """The endpoint's response, with its only text in place of the list."""
        body = await read_body(request.scope, request.receive, self._body_limit)
        path, headers = request.scope["path"], list(request.headers.raw)
        status, headers, body = await asgi.request(self._endpoint, request.method, path, headers, body)
        if status == 200 and dict(headers).get(b"content-type") == b"application/json":
            texts = orjson.loads(body)
            if isinstance(texts, list) and len(texts) == 1:
                body = orjson.dumps(texts[0])
        response = Response(body, status)
        response.raw_headers.extend((name, value) for name, value in headers if name != b"content-length")
        return response


async def _answer(handler: Handler, scope: Scope, receive: Receive, send: Send) -> None:
    response = await handler(Request(scope, receive))
    await response(scope, receive, send)


def _repeated(body: bytes, receive: Receive) -> Receive:
    """Receive a body that has been read once more, and then what comes after it."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def repeated() -> Message:
        return messages.pop() if messages else await receive()

    return repeated


def _only(method: str, handler: Handler) -> Handler:
    async def checked(request: Request) -> Response:
        if request.method not in (method, "HEAD" if method == "GET" else method):
            raise MethodNotAllowed(f"{request.method} is not allowed on {request.url.path}; use {method}")
        return await handler(request)

    return checked
