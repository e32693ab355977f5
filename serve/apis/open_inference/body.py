"""Requests and answers over HTTP: JSON, with the bytes of tensors behind it (the binary tensor data extension)."""

import zlib
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.errors import InvalidInput, MalformedRequest, TooLarge, UnsupportedMedia
from serve.apis.open_inference.messages import VERSION, InferRequest, InferResponse, RequestedOutput
from serve.apis.open_inference.tensor import Tensor, from_bytes, from_json, to_bytes, to_json
from serve.http.errors import validation_error

HEADER_LENGTH = "Inference-Header-Content-Length"

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    parameters: dict[str, Any] = {}


class InferInput(_Part):
    """A tensor that is read."""

    name: str
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: str
    data: Any = None


class InferOutput(_Part):
    """A tensor that is asked for."""

    name: str


class InferBody(_Part):
    """The JSON of a request."""

    id: str = ""
    inputs: list[InferInput]
    outputs: list[InferOutput] | None = None
    # The path names them; some clients say it once more.
    model_name: str | None = None
    model_version: str | None = None


def unpacked(body: bytes, encoding: str | None, limit: int) -> bytes:
    """A body without its `Content-Encoding`.

    Raises:
        UnsupportedMedia: it is another than gzip or deflate.
        MalformedRequest: it is not what it says.
        TooLarge: more than `limit` bytes.
    """
    if encoding in (None, "", "identity"):
        return body
    if encoding not in _WINDOWS:
        raise UnsupportedMedia(f"a body encoded as {encoding} is not read; send it as it is, or as gzip or deflate")
    reader = zlib.decompressobj(_WINDOWS[encoding])
    try:
        data = reader.decompress(body, limit + 1)
    except zlib.error as error:
        raise MalformedRequest(f"the body is not {encoding}: {error}") from None
    if len(data) > limit:
        raise TooLarge(f"the body has more than {limit:,} bytes; at most so many are read")
    if not reader.eof:
        raise MalformedRequest(f"the body ends in the middle of its {encoding}")
    return data


def read_request(body: bytes, header_length: str | None) -> InferRequest:
    """The request in a body; `header_length` is the header's value, where bytes of tensors follow the JSON.

    Raises:
        MalformedRequest: not JSON, or not as many bytes as it says.
        InvalidInput: JSON, but no request of the protocol.
    """
    length = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or not 0 < int(header_length) <= len(body):
            raise MalformedRequest(f"{HEADER_LENGTH} is {header_length!r}, and the body has {len(body):,} bytes")
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
            raise MalformedRequest(f"input {tensor.name!r}: binary_data_size is {size:,}; {left:,} bytes are left")
        inputs.append(_tensor(tensor, None if size is None else body[place : place + size]))
        place += size or 0
    if place != len(body):
        raise MalformedRequest(f"{len(body) - place:,} bytes are left behind the tensors")
    outputs = [RequestedOutput.of(output.name, output.parameters) for output in head.outputs or ()]
    return InferRequest(head.id, head.parameters, inputs, outputs or None)


def _size(tensor: InferInput) -> int | None:
    """Bytes of a tensor behind the JSON; None where its data is in the JSON."""
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise InvalidInput(f"input {tensor.name!r}: binary_data_size should be a number of bytes")
    if tensor.data is not None:
        raise InvalidInput(f"input {tensor.name!r}: has data and binary_data_size; one of them is enough")
    return size


def _tensor(tensor: InferInput, data: bytes | None) -> Tensor:
    shape = tuple(tensor.shape)
    if data is not None:
        values = from_bytes(tensor.name, tensor.datatype, shape, data)
    elif tensor.data is not None:
        values = from_json(tensor.name, tensor.datatype, shape, tensor.data)
    elif "shared_memory_region" in tensor.parameters:
        raise InvalidInput(f"input {tensor.name!r}: shared memory is not offered; send the tensor itself")
    else:
        raise InvalidInput(f"input {tensor.name!r}: data is missing")
    return Tensor(tensor.name, tensor.datatype, values, tensor.parameters)


def write_response(response: InferResponse, is_binary: Callable[[str], bool]) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON where bytes follow it.

    Args:
        response: the answer.
        is_binary: whether the tensor of this name goes as bytes.
    """
    outputs, pieces = [], []
    for tensor in response.outputs:
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if is_binary(tensor.name):
            pieces.append(to_bytes(tensor))
            output["parameters"] = {"binary_data_size": len(pieces[-1])}
        else:
            output["data"] = to_json(tensor)
        outputs.append(output)
    said: dict[str, Any] = {"model_name": response.model, "model_version": VERSION}
    if response.id:
        said["id"] = response.id
    head = orjson.dumps(said | {"outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([head, *pieces]), len(head) if pieces else None
