"""The protocol's request to a task's own: tensors become inputs, parameters become parameters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
from pydantic.fields import FieldInfo

from deployments.contract.task import Task
from deployments.errors import InvalidInput, did_you_mean
from deployments.media.content import Media
from serve.apis.open_inference.annotations import takes_list
from serve.apis.open_inference.inputs import JSON, InputTensors
from serve.apis.open_inference.messages import InferRequest, Parameters
from serve.apis.open_inference.tensor import Tensor

# Triton's own parameters: those without effect, and those that are not supported.
_IGNORED = ("priority", "binary_data_output", "binary_data_size", "content_type")
_REFUSED = {
    "sequence_id": "models have no state between requests",
    "sequence_start": "models have no state between requests",
    "sequence_end": "models have no state between requests",
    "shared_memory_region": "shared memory is not supported; send the tensor itself",
    "shared_memory_byte_size": "shared memory is not supported; send the tensor itself",
    "shared_memory_offset": "shared memory is not supported; send the tensor itself",
}
TIMEOUT = "timeout"  # in microseconds
SAMPLING_RATE = "sampling_rate"
_STREAM = "stream"

Kind = type[Task[Any, Any]]


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """A task's own request.

    Attributes:
        body: its JSON.
        timeout_s: of the request.
    """

    body: dict[str, Any]
    timeout_s: float | None


@cache
def input_tensors(kind: Kind) -> InputTensors:
    """The input tensors of a task."""
    return InputTensors(kind)


def task_request(kind: Kind, payload: InferRequest) -> TaskRequest:
    """Convert the protocol's request to a task's own.

    Raises:
        InvalidInput: tensors or parameters that the task does not have.
    """
    sources = input_tensors(kind).sources
    tensors = _by_name(payload.inputs)
    inputs = {name: tensor for name, tensor in tensors.items() if name == JSON or name in sources}
    options = _options(kind, payload, [tensor for name, tensor in tensors.items() if name not in inputs])
    timeout = options.pop(TIMEOUT, None)
    rates = _rates(kind, inputs, options)
    items = input_tensors(kind).values(inputs, rates)
    body = {"inputs": items} | place_parameters(kind, options)
    if body.get(_STREAM):
        raise InvalidInput("parameter 'stream': use /generate_stream")
    return TaskRequest(body, None if timeout is None else seconds(timeout))


def place_parameters(kind: Kind, options: Parameters) -> dict[str, Any]:
    """Put parameters where the task's request has them: at its root, or below `parameters`. The task validates them."""
    fields, within = kind.request.model_fields, _parameters(kind)
    body: dict[str, Any] = {}
    for name, value in options.items():
        if name == "inputs":
            raise InvalidInput("parameter 'inputs': should be a tensor")
        if name in fields or within is None:
            body[name] = _as_list(value, fields.get(name))
        else:
            body.setdefault("parameters", {})[name] = _as_list(value, within.get(name))
    return body


def seconds(timeout: Any) -> float:
    """Triton's timeout, in microseconds.

    Raises:
        InvalidInput: not a positive integer.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout <= 0:
        raise InvalidInput("parameter 'timeout': should be a number of microseconds above 0")
    return timeout / 1e6


def _by_name(inputs: Iterable[Tensor]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for tensor in inputs:
        if tensor.name in tensors:
            raise InvalidInput(f"input {tensor.name!r}: appears twice")
        tensors[tensor.name] = tensor
    return tensors


def _options(kind: Kind, payload: InferRequest, rest: Iterable[Tensor]) -> dict[str, Any]:
    """All parameters: of the request, of its tensors, and tensors of one element."""
    options: dict[str, Any] = {}
    for place, parameters in (("", payload.parameters), *((t.name, t.parameters) for t in payload.inputs)):
        for name, value in parameters.items():
            label = f"parameter {name!r}{f' of input {place!r}' if place else ''}"
            if name in _REFUSED:
                raise InvalidInput(f"{label}: {_REFUSED[name]}")
            if name in _IGNORED or (place and name == SAMPLING_RATE):
                continue
            if options.setdefault(name, value) != value:
                raise InvalidInput(f"{label}: given twice with different values")
    for tensor in rest:
        if tensor.name not in _names(kind):
            raise InvalidInput(f"input {tensor.name!r}: unknown; {_hint(kind, tensor.name)}")
        options[tensor.name] = _element(tensor)
    return options


def _rates(kind: Kind, inputs: Mapping[str, Tensor], options: dict[str, Any]) -> dict[str, Any]:
    """The sampling rates of audio tensors that hold samples; removed from `options`."""
    sources = input_tensors(kind).sources
    sampled = [
        t for name, t in inputs.items() if name != JSON and sources[name].kind is Media and t.datatype != "BYTES"
    ]
    common = options.pop(SAMPLING_RATE, None) if sampled else None
    return {tensor.name: tensor.parameters.get(SAMPLING_RATE, common) for tensor in sampled}


def _names(kind: Kind) -> set[str]:
    """The names of parameters, under which tensors are accepted."""
    return {*kind.request.model_fields, *(_parameters(kind) or {}), SAMPLING_RATE} - {"inputs", "parameters"}


def _parameters(kind: Kind) -> Mapping[str, FieldInfo] | None:
    """The fields of `parameters` in a task's request; None if it has no such field."""
    field = kind.request.model_fields.get("parameters")
    return None if field is None else getattr(field.annotation, "model_fields", {})


def _hint(kind: Kind, name: str) -> str:
    sources = [*input_tensors(kind).sources, JSON]
    listed = f"there are {', '.join(sources)}, and parameters by name"
    return did_you_mean(name, [*sources, *_names(kind)], listed=listed)


def _element(tensor: Tensor) -> Any:
    if tensor.values.size != 1:
        raise InvalidInput(f"input {tensor.name!r}: is a parameter, so it should have one element")
    value = tensor.values.reshape(()).tolist()
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"input {tensor.name!r}: is not UTF-8") from None


def _as_list(value: Any, field: FieldInfo | None) -> Any:
    """The protocol has no lists as parameters: where the task expects one, a string is its JSON or its only element."""
    if not isinstance(value, str) or field is None or not takes_list(field.annotation):
        return value
    if not value.lstrip().startswith("["):
        return [value]
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return [value]
