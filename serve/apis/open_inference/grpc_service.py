"""The protocol over gRPC: methods, authentication, and errors as status codes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from starlette.requests import Request

from serve.apis.model_client import ReplicaError
from serve.apis.open_inference.inference import OpenInference
from serve.apis.open_inference.protobuf import PACKAGE, SERVICE, Messages, fill_response, infer_request
from serve.http.errors import error_content
from serve.http.messages import request_id
from serve.middleware.api_keys import KeyRing
from serve.middleware.auth import authenticate

Method = Callable[[Request, Any, Any], Awaitable[None]]  # the client's headers, its message, and the response to fill

PUBLIC = ("ServerLive", "ServerReady")  # methods that need no key, like /v2/health/
FORWARDED = ("authorization", "x-request-id", "timeout")  # client metadata that models read as headers

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class GrpcService:
    """Handles gRPC calls. Cancelling a call, or its deadline, cancels the request to the model.

    Args:
        inference: answers the calls.
        ring: the API keys; None without authentication.
    """

    def __init__(self, inference: OpenInference, ring: KeyRing | None) -> None:
        self._inference = inference
        self._ring = ring

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler of all methods, for a server."""
        methods: dict[str, Method] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
            "RepositoryIndex": self._repository_index,
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._wrap(methods[name], response, is_public=name in PUBLIC),
                request_deserializer=request.FromString,
                response_serializer=response.SerializeToString,
            )
            for name, (request, response) in Messages().methods().items()
        }
        return grpc.method_handlers_generic_handler(f"{PACKAGE}.{SERVICE}", handlers)

    def _wrap(self, method: Method, kind: Any, *, is_public: bool) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(message: Any, context: Any) -> Any:
            request = _as_request(context)
            try:
                if self._ring is not None and not is_public:
                    authenticate(self._ring, request.headers.get("authorization"))
                response = kind()
                await method(request, message, response)
                return response
            except asyncio.CancelledError:
                raise
            except ReplicaError as error:
                status, content, headers = error.reply.status, error.reply.json(), error.reply.headers
            except Exception as error:
                status, content, headers = error_content(error, request_id(request.scope))
            metadata = [("x-request-id", request_id(request.scope))]
            metadata += [("retry-after", value.decode()) for name, value in headers if name == b"retry-after"]
            code = _CODES.get(status, grpc.StatusCode.INTERNAL)
            return await context.abort(code, content["error"], tuple(metadata))

        return answer

    async def _server_live(self, request: Request, message: Any, answer: Any) -> None:
        answer.live = True

    async def _server_ready(self, request: Request, message: Any, answer: Any) -> None:
        answer.ready = await self._inference.is_ready()

    async def _model_ready(self, request: Request, message: Any, answer: Any) -> None:
        answer.ready = await self._inference.is_model_ready(message.name, message.version)

    async def _server_metadata(self, request: Request, message: Any, answer: Any) -> None:
        server = self._inference.server()
        answer.name, answer.version = server["name"], server["version"]
        answer.extensions.extend(server["extensions"])

    async def _model_metadata(self, request: Request, message: Any, answer: Any) -> None:
        found = await self._inference.metadata(request, message.name, message.version)
        answer.name, answer.platform = found["name"], found["platform"]
        answer.versions.extend(found["versions"])
        for field, tensors in ((answer.inputs, found["inputs"]), (answer.outputs, found["outputs"])):
            for tensor in tensors:
                field.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        optional = [tensor["name"] for tensor in found["inputs"] if "parameters" in tensor]
        answer.properties["optional_inputs"] = ",".join(optional)

    async def _model_infer(self, request: Request, message: Any, answer: Any) -> None:
        payload = infer_request(message)
        answered = await self._inference.infer(request, message.model_name, message.model_version, payload)
        fill_response(answer, answered, raw=bool(message.raw_input_contents))

    async def _repository_index(self, request: Request, message: Any, answer: Any) -> None:
        for model in await self._inference.index(message.ready):
            answer.models.add(**model)


def _as_request(context: Any) -> Request:
    """The call as an HTTP request, with its key, its id and its remaining time."""
    metadata = {name: value for name, value in context.invocation_metadata() or () if name in FORWARDED}
    if (left := context.time_remaining()) is not None:
        metadata["timeout"] = f"{max(left, 0.001):.3f}"
    headers = [(name.encode(), value.encode()) for name, value in metadata.items() if isinstance(value, str)]
    if "x-request-id" not in metadata:
        headers.append((b"x-request-id", request_id({"headers": []}).encode()))
    return Request({"type": "http", "headers": headers})
