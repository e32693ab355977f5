"""The protocol's HTTP routes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.registry import KINDS
from serve.apis.model_client import Handler, ModelClient
from serve.apis.open_inference.body import HEADER_LENGTH, InferBody, read_request, write_response
from serve.apis.open_inference.generate import Generate, GenerateRequest
from serve.apis.open_inference.inference import OpenInference
from serve.apis.open_inference.messages import InferRequest, flag
from serve.apis.operation import Operation, build_routes
from serve.http.body import LARGE_BODY
from serve.http.errors import ErrorFormat, JSONResponse
from serve.http.sse import EVENT_STREAM

TENSORS = "application/octet-stream"  # JSON, followed by the bytes of tensors
MODEL = "/v2/models/{model}"
MODEL_VERSION = MODEL + "/versions/{version}"


class OpenInferenceError(BaseModel):
    """The body of every error of the protocol's routes."""

    error: str


class Readiness(BaseModel):
    """Sent with 200 if ready, else with 503."""

    ready: bool
    name: str | None = None


class IndexRequest(BaseModel):
    """Selects models."""

    ready: bool = False


_operation = partial(Operation, error=OpenInferenceError)
_readiness_operation = partial(Operation, response=Readiness, error=OpenInferenceError | Readiness)
_GENERATION_TASKS = tuple(kind.name for kind in KINDS if kind.event_type is not None)
_MODEL_OPERATIONS = (
    _operation(path="", summary="The input and output tensors of a model."),
    _readiness_operation(path="/ready", summary="Whether a model is ready."),
    _operation(
        path="/infer",
        summary="Inference with tensors, as JSON or as bytes after it.",
        request=InferBody,
        also=(TENSORS,),
    ),
    _operation(path="/generate", summary="Text generation.", request=GenerateRequest, tasks=_GENERATION_TASKS),
    _operation(
        path="/generate_stream",
        summary="Text generation as a stream.",
        request=GenerateRequest,
        tasks=_GENERATION_TASKS,
        also=(EVENT_STREAM,),
    ),
)
OPERATIONS = (
    _operation(path="/v2", summary="Name and version of the server."),
    _operation(path="/v2/health/live", summary="200 while the gateway answers."),
    _readiness_operation(path="/v2/health/ready", summary="Whether every model is ready."),
    _operation(path="/v2/models", summary="The names of the models."),
    _operation(
        path="/v2/repository/index",
        summary="Every model with its state.",
        request=IndexRequest,
        is_optional=True,
        response=list[dict[str, str]],
    ),
    *(replace(each, path=start + each.path) for start in (MODEL, MODEL_VERSION) for each in _MODEL_OPERATIONS),
)


class HTTPHandlers:
    """The handlers of the HTTP routes."""

    def __init__(self, client: ModelClient, inference: OpenInference) -> None:
        self._client = client
        self._inference = inference

    async def server(self, request: Request) -> Response:
        return JSONResponse(self._inference.server())

    async def live(self, request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        return _readiness({}, await self._inference.is_ready())

    async def models(self, request: Request) -> Response:
        return JSONResponse({"models": self._inference.names()})

    async def index(self, request: Request) -> Response:
        payload: IndexRequest = await self._client.read_optional(request, IndexRequest)
        return JSONResponse(await self._inference.index(payload.ready))

    async def metadata(self, request: Request) -> Response:
        return JSONResponse(await self._inference.metadata(request, *_model_and_version(request)))

    async def model_ready(self, request: Request) -> Response:
        model, version = _model_and_version(request)
        return _readiness({"name": model}, await self._inference.is_model_ready(model, version))

    async def infer(self, request: Request) -> Response:
        """Inference; output tensors are JSON or bytes after it."""
        body = await self._client.read_bytes(request)
        length = request.headers.get(HEADER_LENGTH)
        is_large = len(body) > LARGE_BODY
        payload = await asyncio.to_thread(read_request, body, length) if is_large else read_request(body, length)
        response = await self._inference.infer(request, *_model_and_version(request), payload)
        content, json_length = write_response(response, _is_binary(payload))
        if json_length is None:
            return Response(content, media_type="application/json")
        headers = {HEADER_LENGTH: str(json_length)}
        return Response(content, media_type=TENSORS, headers=headers)


def _model_and_version(request: Request) -> tuple[str, str]:
    """The model and the version in the path."""
    return request.path_params["model"], request.path_params.get("version", "")


def _is_binary(payload: InferRequest) -> Callable[[str], bool]:
    """Which outputs are sent as bytes: by each one's parameter, else by the request's."""
    default = flag(payload.parameters, "binary_data_output") or False
    own = {output.name: output.binary for output in payload.outputs or () if output.binary is not None}
    return lambda name: own.get(name, default)


def _readiness(content: dict[str, object], is_ready: bool) -> Response:
    return JSONResponse(content | {"ready": is_ready}, 200 if is_ready else 503)


def open_inference_routes(client: ModelClient, inference: OpenInference) -> list[Route]:
    """`/v2/…`; a model's routes exist with and without its version."""
    http, generate = HTTPHandlers(client, inference), Generate(client, inference)
    handlers: dict[str, Handler] = {
        "/v2": http.server,
        "/v2/health/live": http.live,
        "/v2/health/ready": http.ready,
        "/v2/models": http.models,
        "/v2/repository/index": http.index,
    }
    for path in (MODEL, MODEL_VERSION):
        handlers |= {
            path: http.metadata,
            f"{path}/ready": http.model_ready,
            f"{path}/infer": http.infer,
            f"{path}/generate": generate.whole,
            f"{path}/generate_stream": generate.stream,
        }
    return build_routes(OPERATIONS, handlers, open_inference_error)


open_inference_error = ErrorFormat(lambda content: {"error": content["error"]})
"""The service's error object as KServe's, which has only the message."""
