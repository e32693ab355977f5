"""The protocol's operations, for HTTP and gRPC alike."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from deployments.errors import DeadlineExceeded, NotFound
from serve.apis.model_client import ModelClient
from serve.apis.open_inference.inputs import JSON
from serve.apis.open_inference.messages import VERSION, InferRequest, InferResponse
from serve.apis.open_inference.outputs import VECTOR, output_tensors
from serve.apis.open_inference.request import input_tensors, task_request
from serve.apis.open_inference.tensor import Tensor
from serve.routes import Route, RouteTable

if TYPE_CHECKING:
    from serve.cluster.states import ModelState

NAME = "automodel-serve"
_OPTIONAL = {"parameters": {"optional": True}}
EXTENSIONS = ("binary_tensor_data", "generate", "model_repository", "parameters")

States = Callable[[], Awaitable[Mapping[str, "ModelState"]]]


class OpenInference:
    """Implements the protocol's operations.

    Args:
        caller: asks the models.
        table: the served models.
        states: of the models.
    """

    def __init__(self, client: ModelClient, table: RouteTable, states: States) -> None:
        self._client = client
        self._table = table
        self._states = states
        self._outputs: dict[str, list[dict[str, Any]]] = {}

    def server(self) -> dict[str, Any]:
        """Name, version and extensions of the server."""
        return {"name": NAME, "version": version_of(NAME), "extensions": list(EXTENSIONS)}

    def names(self) -> list[str]:
        """The names of all models."""
        return [route.model for route in self._table.routes]

    async def is_ready(self) -> bool:
        """Whether every model is ready."""
        return all(state.is_ready for state in (await self._states()).values())

    async def is_model_ready(self, model: str, version: str) -> bool:
        """Whether a model is ready.

        Raises:
            NotFound: no such model.
        """
        return (await self._states())[self.route(model, version).model].is_ready

    async def index(self, only_ready: bool) -> list[dict[str, str]]:
        """Every model with its state."""
        return [
            {
                "name": name,
                "version": VERSION,
                "state": "READY" if state.is_ready else "UNAVAILABLE" if state.state == "failed" else "LOADING",
                "reason": state.detail,
            }
            for name, state in (await self._states()).items()
            if state.is_ready or not only_ready
        ]

    def route(self, model: str, version: str) -> Route:
        """A model's route.

        Raises:
            NotFound: no such model, or no such version of it.
        """
        route = self._table.model(model)
        if version not in ("", VERSION):
            raise NotFound(f"no version {version!r} of {model!r}; there is {VERSION}")
        return route

    async def infer(self, request: Request, model: str, version: str, payload: InferRequest) -> InferResponse:
        """A model's answer.

        Args:
            request: whose headers are passed on.
            model: its name.
            version: its version; empty for any.
            asked: the question.

        Raises:
            ServiceError: the request is invalid, or not answered in time.
            ReplicaError: the model's response is an error.
        """
        route = self.route(model, version)
        converted = task_request(route.kind, payload)
        answers = await self._post(request, route, converted.body, converted.timeout_s)
        return InferResponse(model, payload.id, output_tensors(route.kind, answers, payload.outputs))

    async def metadata(self, request: Request, model: str, version: str) -> dict[str, Any]:
        """The input and output tensors of a model.

        Raises:
            NotFound: no such model.
            ReplicaError: the model is not available, or the key may not use it.
        """
        route = self.route(model, version)
        described = await self._client.describe(request, route)
        if model not in self._outputs:
            self._outputs[model] = await self._output_tensors(request, route, described["example"])
        return {
            "name": model,
            "versions": [VERSION],
            "platform": f"transformers_{route.task}",
            "inputs": _inputs(route),
            "outputs": self._outputs[model],
        }

    async def _output_tensors(self, request: Request, route: Route, example: dict[str, Any]) -> list[dict[str, Any]]:
        """The tensors of the answer to the model's example, as they depend on the model."""
        answers = await self._post(request, route, example | {"inputs": [example["inputs"]]}, None)
        tensors = output_tensors(route.kind, answers, None)
        found = [
            _metadata(tensor.name, tensor.datatype, _variable(tensor)) for tensor in tensors if tensor.name != JSON
        ]
        return [*found, _metadata(JSON, "BYTES", [-1])]

    async def _post(self, request: Request, route: Route, body: dict[str, Any], timeout_s: float | None) -> list[Any]:
        try:
            async with asyncio.timeout(timeout_s):
                answers: list[Any] = (await self._client.post(request, route, body)).json()
        except TimeoutError:
            raise DeadlineExceeded(f"no answer within the request's timeout of {timeout_s:g} s") from None
        return answers


def _inputs(route: Route) -> list[dict[str, Any]]:
    """The input tensors of a task, with those marked that are optional."""
    tensors = input_tensors(route.kind)
    inputs = [_metadata(name, source.datatype, list(source.shape)) for name, source in tensors.sources.items()]
    inputs.append(_metadata(JSON, "BYTES", [-1]))
    return [tensor if tensor["name"] in tensors.required else tensor | _OPTIONAL for tensor in inputs]


def _metadata(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _variable(tensor: Tensor) -> list[int]:
    """A shape of variable dimensions, except for the size of an embedding."""
    return [-1] * (tensor.values.ndim - 1) + [tensor.shape[-1] if tensor.name == VECTOR else -1]
