"""The ASGI application of one model with what Hugging Face's clients ask for at its URL and below.

`InferenceClient(model=URL)` posts most tasks to the URL itself, chats to `{URL}/v1/chat/completions`, and asks
`{URL}/info` and `{URL}/health`; `{URL}/pipeline/{task}` names a view of the model's task.
"""

import difflib
from functools import partial
from types import SimpleNamespace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from deployments import asgi
from deployments.asgi import ASGIApp
from deployments.errors import MethodNotAllowed, NotFound, Unavailable
from deployments.replica.replica import Replica
from serve.apis.caller import Answer, Caller, ModelCaller, as_json, with_errors
from serve.apis.embeddings_inference.info import Info
from serve.apis.embeddings_inference.vectors import Vectors
from serve.apis.huggingface.completions import HuggingFaceCompletions
from serve.apis.huggingface.paths import CHAT, COMPLETIONS, HEALTH, INFO, PIPELINE
from serve.apis.huggingface.picture_questions import PictureQuestions
from serve.apis.huggingface.rewriting import Rewriting
from serve.apis.huggingface.zero_shot import ZeroShot
from serve.apis.openai.chat import Chat
from serve.apis.openai.errors import openai_error
from serve.config.service import Limits
from serve.http.errors import JSONResponse
from serve.http.messages import Headers, Receive, Scope, Send, header, read_body
from serve.routes import Route

JAVASCRIPT = "@huggingface/inference/"  # how its User-Agent begins
ONE_TEXT = ("image-to-text",)  # tasks of which it reads one text, where the Python client reads a list of them


class ModelApp:
    """A model's endpoint, and the paths below its URL.

    Args:
        endpoint: the ASGI application of the model's own URL.
        replica: what stands behind it.
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
        caller = ModelCaller(route, endpoint, limits.body)
        self._info = Info(caller, limits)
        answers = self._answers(caller)
        self._pipelines = {PIPELINE + name for name in (route.task, *route.kind.aliases)}
        self._below = {path + below: answer for path in route.paths for below, answer in answers.items()}
        # A view answers itself; every other name of the task means the model's own URL.
        self._own = {path + pipeline for path in route.paths for pipeline in self._pipelines - answers.keys()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if answer := self._below.get(path):
                response = await answer(Request(scope, receive))
                await response(scope, receive, send)
                return
            if path in self._own:
                scope = dict(scope) | {"path": self._route.path}
            elif PIPELINE in path:
                response = await with_errors(self._no_pipeline, _own_error)(Request(scope, receive))
                await response(scope, receive, send)
                return
            if self._route.task in ONE_TEXT and (header(scope, b"user-agent") or "").startswith(JAVASCRIPT):
                response = await with_errors(self._one_text, _own_error)(Request(scope, receive))
                await response(scope, receive, send)
                return
        await self._endpoint(scope, receive, send)

    def _answers(self, caller: Caller) -> dict[str, Answer]:
        """What answers below the model's URL, with each protocol's own errors."""
        views: dict[str, Answer] = {
            "zero-shot-classification": ZeroShot(caller),
            "sentence-similarity": as_json(partial(Vectors(caller).similarity, truncate=True)),
            "visual-question-answering": PictureQuestions(caller),
            "summarization": Rewriting(caller, "summary_text", "summarization"),
            "translation": Rewriting(caller, "translation_text", "translation"),
        }
        openai: dict[str, Answer] = {CHAT: Chat(caller), COMPLETIONS: HuggingFaceCompletions(caller)}
        own: dict[str, Answer] = {PIPELINE + name: views[name] for name in self._route.kind.aliases if name in views}
        return (
            {below: with_errors(_only("POST", answer), openai_error) for below, answer in openai.items()}
            | {below: with_errors(_only("POST", answer), _own_error) for below, answer in own.items()}
            | {
                INFO: with_errors(_only("GET", self._information), _own_error),
                HEALTH: with_errors(_only("GET", self._health), _own_error),
            }
        )

    async def _information(self, request: Request) -> Response:
        """As TEI has it, with TGI's names for the rest."""
        told = await self._description()
        names = {"model_pipeline_tag": self._route.task, "model_device_type": told["device"]}
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
        """What the endpoint says of the model.

        Raises:
            Unavailable: it is loading.
        """
        _, _, body = await asgi.request(self._endpoint, "GET", self._route.path, [], b"")
        description: dict[str, Any] = orjson.loads(body)
        if "source" not in description:
            raise Unavailable(f"{self._route.model} is loading", retry_after=5)
        return description

    async def _no_pipeline(self, request: Request) -> Response:
        asked = request.url.path.rsplit(PIPELINE, 1)[1]
        known = sorted(pipeline.removeprefix(PIPELINE) for pipeline in self._pipelines)
        near = difflib.get_close_matches(asked, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise NotFound(f"the model {self._route.model!r} has no pipeline {asked!r}; {hint}")

    async def _one_text(self, request: Request) -> Response:
        """The endpoint's answer, with its one text in the place of the list."""
        body = await read_body(request.scope, request.receive, self._body_limit)
        asked = (request.method, request.scope["path"], list(request.headers.raw), body)
        status, headers, answered = await asgi.request(self._endpoint, *asked)
        if status == 200 and dict(headers).get(b"content-type") == b"application/json":
            texts = orjson.loads(answered)
            if isinstance(texts, list) and len(texts) == 1:
                answered = orjson.dumps(texts[0])
        response = Response(answered, status)
        response.raw_headers.extend((name, value) for name, value in headers if name != b"content-length")
        return response


def _only(method: str, answer: Answer) -> Answer:
    async def answered(request: Request) -> Response:
        if request.method not in (method, "HEAD" if method == "GET" else method):
            raise MethodNotAllowed(f"{request.method} is not possible on {request.url.path}; there is {method}")
        return await answer(request)

    return answered


def _own_error(status: int, body: bytes, headers: Headers) -> Response:
    """Hugging Face's clients read `error`, as ours has it."""
    response = Response(body, status, media_type="application/json")
    response.raw_headers.extend(headers)
    return response
