"""Requests and responses over HTTP: JSON, followed by the bytes of tensors (the binary tensor data extension)."""

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.errors import InvalidInput, MalformedRequest
from serve.apis.open_inference.messages import VERSION, InferRequest, InferResponse, RequestedOutput
from serve.apis.open_inference.tensor import Tensor, from_bytes, from_json, to_bytes, to_json
from serve.http.errors import validation_error

HEADER_LENGTH = "Inference-Header-Content-Length"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    parameters: dict[str, Any] = {}


class InferInput(_Part):
    """An input tensor."""

    name: str
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: str
    data: Any = None


class InferOutput(_Part):
    """A requested output tensor."""

    name: str


class InferBody(_Part):
    """The JSON of an inference request."""

    id: str = ""
    inputs: list[InferInput]
    outputs: list[InferOutput] | None = None
    # The path already has these; some clients repeat them.
    model_name: str | None = None
    model_version: str | None = None


def read_request(body: bytes, header_length: str | None) -> InferRequest:
    """Parse a request; `header_length` is the header's value if bytes of tensors follow the JSON.

    Raises:
        MalformedRequest: the body is not JSON, or a length does not match.
        InvalidInput: JSON, but not a request of the protocol.
    """
    length = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or not 0 < int(header_length) <= len(body):
            raise MalformedRequest(f"{HEADER_LENGTH} is {header_length!r}, but the body has {len(body):,} bytes")
        length = int(header_length)
    try:
        head = InferBody.model_validate(orjson.loads(body[:length]))
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the body is not JSON: {error}") from None
    except ValidationError as error:
        raise validation_error(error) from None
    inputs, place = [], length
    for tensor in head.inputs:
        size = _size(tensor)
        if size is not None and place + size > len(body):
            left = len(body) - place
            raise MalformedRequest(f"input {tensor.name!r}: binary_data_size is {size:,}, but {left:,} bytes are left")
        inputs.append(_tensor(tensor, None if size is None else body[place : place + size]))
        place += size or 0
    if place != len(body):
        raise MalformedRequest(f"{len(body) - place:,} extra bytes after the tensors")
    outputs = [RequestedOutput.parse(output.name, output.parameters) for output in head.outputs or ()]
    return InferRequest(head.id, head.parameters, inputs, outputs or None)


def _size(tensor: InferInput) -> int | None:
    """Size of a tensor after the JSON; None if its data is in the JSON."""
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise InvalidInput(f"input {tensor.name!r}: binary_data_size should be a number of bytes")
    if tensor.data is not None:
        raise InvalidInput(f"input {tensor.name!r}: has both data and binary_data_size")
    return size


def _tensor(tensor: InferInput, data: bytes | None) -> Tensor:
    shape = tuple(tensor.shape)
    if data is not None:
        values = from_bytes(tensor.name, tensor.datatype, shape, data)
    elif tensor.data is not None:
        values = from_json(tensor.name, tensor.datatype, shape, tensor.data)
    elif "shared_memory_region" in tensor.parameters:
        raise InvalidInput(f"input {tensor.name!r}: shared memory is not supported; send the tensor itself")
    else:
        raise InvalidInput(f"input {tensor.name!r}: data is missing")
    return Tensor(tensor.name, tensor.datatype, values, tensor.parameters)


def write_response(response: InferResponse, is_binary: Callable[[str], bool]) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON if bytes follow it.

    Args:
        response: to write.
        is_binary: whether the tensor of this name is sent as bytes.
    """
    outputs, data = [], []
    for tensor in response.outputs:
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if is_binary(tensor.name):
            data.append(to_bytes(tensor))
            output["parameters"] = {"binary_data_size": len(data[-1])}
        else:
            output["data"] = to_json(tensor)
        outputs.append(output)
    head: dict[str, Any] = {"model_name": response.model, "model_version": VERSION}
    if response.id:
        head["id"] = response.id
    json = orjson.dumps(head | {"outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([json, *data]), len(json) if data else None
