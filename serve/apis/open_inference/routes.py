"""The protocol's routes over HTTP."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.registry import KINDS
from serve.apis.model_client import Answer, ModelClient
from serve.apis.open_inference.body import HEADER_LENGTH, InferBody, read_request, unpacked, write_response
from serve.apis.open_inference.generate import Generate, GenerateRequest
from serve.apis.open_inference.inference import OpenInference
from serve.apis.open_inference.messages import InferRequest, flag
from serve.apis.operation import Operation, routes_of
from serve.config.service import Limits
from serve.http.body import LARGE_BODY
from serve.http.errors import JSONResponse
from serve.http.messages import Headers
from serve.http.sse import EVENT_STREAM

TENSORS = "application/octet-stream"  # JSON, with the bytes of tensors behind it
MODEL = "/v2/models/{model}"
OF_VERSION = MODEL + "/versions/{version}"


class OpenInferenceError(BaseModel):
    """Every error of the protocol's routes."""

    error: str


class Readiness(BaseModel):
    """With 200 if ready, else with 503."""

    ready: bool
    name: str | None = None


class IndexRequest(BaseModel):
    """Which models are listed."""

    ready: bool = False


_operation = partial(Operation, error=OpenInferenceError)
_readiness_operation = partial(Operation, response=Readiness, error=OpenInferenceError | Readiness)
_WRITING = tuple(kind.name for kind in KINDS if kind.event_type is not None)
_OF_MODEL = (
    _operation(path="", summary="The tensors that a model reads and answers."),
    _readiness_operation(path="/ready", summary="Whether a model answers."),
    _operation(
        path="/infer",
        summary="A model's answer as tensors, in JSON or as bytes behind it.",
        request=InferBody,
        also=(TENSORS,),
    ),
    _operation(path="/generate", summary="A text for a text.", request=GenerateRequest, tasks=_WRITING),
    _operation(
        path="/generate_stream",
        summary="A text for a text, as it is written.",
        request=GenerateRequest,
        tasks=_WRITING,
        also=(EVENT_STREAM,),
    ),
)
OPERATIONS = (
    _operation(path="/v2", summary="What this server is."),
    _operation(path="/v2/health/live", summary="200 while the gateway answers."),
    _readiness_operation(path="/v2/health/ready", summary="Whether every model answers."),
    _operation(path="/v2/models", summary="The models' names."),
    _operation(
        path="/v2/repository/index",
        summary="Every model with its state.",
        request=IndexRequest,
        is_optional=True,
        response=list[dict[str, str]],
    ),
    *(replace(each, path=start + each.path) for start in (MODEL, OF_VERSION) for each in _OF_MODEL),
)


class Http:
    """Answers what is asked over HTTP."""

    def __init__(self, client: ModelClient, inference: OpenInference, limits: Limits) -> None:
        self._client = client
        self._inference = inference
        self._most = limits.body.size

    async def server(self, request: Request) -> Response:
        return JSONResponse(self._inference.server())

    async def live(self, request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        return _readiness({}, await self._inference.is_ready())

    async def models(self, request: Request) -> Response:
        return JSONResponse({"models": self._inference.names()})

    async def index(self, request: Request) -> Response:
        payload: IndexRequest = await self._client.read_if_any(request, IndexRequest)
        return JSONResponse(await self._inference.index(payload.ready))

    async def metadata(self, request: Request) -> Response:
        return JSONResponse(await self._inference.metadata(request, *_named(request)))

    async def model_ready(self, request: Request) -> Response:
        model, version = _named(request)
        return _readiness({"name": model}, await self._inference.is_model_ready(model, version))

    async def infer(self, request: Request) -> Response:
        """The tensors of an answer, in JSON or as bytes behind it."""
        body = await self._client.read_bytes(request)
        body = unpacked(body, request.headers.get("content-encoding"), self._most)
        length = request.headers.get(HEADER_LENGTH)
        is_large = len(body) > LARGE_BODY
        payload = await asyncio.to_thread(read_request, body, length) if is_large else read_request(body, length)
        answered = await self._inference.infer(request, *_named(request), payload)
        content, json_length = write_response(answered, _is_binary(payload))
        if json_length is None:
            return Response(content, media_type="application/json")
        headers = {HEADER_LENGTH: str(json_length)}
        return Response(content, media_type=TENSORS, headers=headers)


def _named(request: Request) -> tuple[str, str]:
    """The model and the version in the path."""
    return request.path_params["model"], request.path_params.get("version", "")


def _is_binary(payload: InferRequest) -> Callable[[str], bool]:
    """Which outputs go as bytes: as each says, else as the request says for all."""
    every = flag(payload.parameters, "binary_data_output") or False
    own = {output.name: output.binary for output in payload.outputs or () if output.binary is not None}
    return lambda name: own.get(name, every)


def _readiness(said: dict[str, object], is_ready: bool) -> Response:
    return JSONResponse(said | {"ready": is_ready}, 200 if is_ready else 503)


def open_inference_routes(client: ModelClient, inference: OpenInference, limits: Limits) -> list[Route]:
    """`/v2/…`; a model's routes also with its version."""
    http, generate = Http(client, inference, limits), Generate(client, inference)
    answers: dict[str, Answer] = {
        "/v2": http.server,
        "/v2/health/live": http.live,
        "/v2/health/ready": http.ready,
        "/v2/models": http.models,
        "/v2/repository/index": http.index,
    }
    for path in (MODEL, OF_VERSION):
        answers |= {
            path: http.metadata,
            f"{path}/ready": http.model_ready,
            f"{path}/infer": http.infer,
            f"{path}/generate": generate.whole,
            f"{path}/generate_stream": generate.stream,
        }
    return routes_of(OPERATIONS, answers, _error)


def _error(status: int, body: bytes, headers: Headers) -> Response:
    response = JSONResponse({"error": orjson.loads(body)["error"]}, status)
    response.raw_headers.extend(headers)
    return response
