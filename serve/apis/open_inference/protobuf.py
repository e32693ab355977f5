"""The protocol's gRPC messages, from `protocol.binpb`, which `python -m serve.apis.open_inference.compile` generates.

They have a descriptor pool of their own, as client libraries register messages of the same names in the default one.
"""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from deployments.errors import InvalidInput, MalformedRequest
from serve.apis.open_inference.messages import VERSION, InferRequest, InferResponse, RequestedOutput
from serve.apis.open_inference.tensor import (
    BINARY_ONLY,
    NUMBERS,
    Array,
    Tensor,
    as_bytes,
    from_bytes,
    object_array,
    to_bytes,
    validate_tensor,
)

COMPILED = Path(__file__).with_name("protocol.binpb")
PACKAGE = "inference"
SERVICE = "GRPCInferenceService"

# The field with the elements of each datatype; FP16 and BF16 exist only as bytes.
_CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class Messages:
    """The classes of the messages, by method of the service."""

    def __init__(self) -> None:
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(COMPILED.read_bytes()).file:
            pool.AddSerializedFile(file.SerializeToString())
        self._service = pool.FindServiceByName(f"{PACKAGE}.{SERVICE}")

    def methods(self) -> dict[str, tuple[Any, Any]]:
        """The service's methods, with the classes of request and response."""
        return {
            method.name: (GetMessageClass(method.input_type), GetMessageClass(method.output_type))
            for method in self._service.methods
        }


def infer_request(message: Any) -> InferRequest:
    """Parse a `ModelInferRequest`.

    Raises:
        ServiceError: an invalid tensor or parameter.
    """
    raw: Sequence[bytes] = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise MalformedRequest(f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs")
    inputs = [_tensor(tensor, raw[place] if raw else None) for place, tensor in enumerate(message.inputs)]
    outputs = [RequestedOutput.parse(output.name, _parameters(output.parameters)) for output in message.outputs]
    return InferRequest(message.id, _parameters(message.parameters), inputs, outputs or None)


def _tensor(tensor: Any, raw: bytes | None) -> Tensor:
    shape = tuple(tensor.shape)
    if raw is None:
        values = _typed(tensor, shape)
    elif tensor.HasField("contents"):
        raise MalformedRequest(f"input {tensor.name!r}: has both contents and raw_input_contents")
    else:
        values = from_bytes(tensor.name, tensor.datatype, shape, raw)
    return Tensor(tensor.name, tensor.datatype, values, _parameters(tensor.parameters))


def _typed(tensor: Any, shape: tuple[int, ...]) -> Array:
    """The array of a tensor whose elements are fields of the message."""
    validate_tensor(tensor.name, tensor.datatype, shape)
    if tensor.datatype in BINARY_ONLY:
        raise InvalidInput(f"input {tensor.name!r}: {tensor.datatype} is accepted in raw_input_contents only")
    field = _CONTENTS[tensor.datatype]
    elements = list(getattr(tensor.contents, field))
    if len(elements) != prod(shape):
        raise InvalidInput(
            f"input {tensor.name!r}: {len(elements):,} elements in {field}, but the shape {list(shape)} has "
            f"{prod(shape):,}"
        )
    if tensor.datatype == "BYTES":
        return object_array(elements, shape)
    try:
        return np.array(elements, NUMBERS[tensor.datatype]).reshape(shape)
    except OverflowError:
        raise InvalidInput(f"input {tensor.name!r}: {field} has a number out of range for {tensor.datatype}") from None


def _parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidInput(f"parameter {name!r}: has no value")
        values[name] = getattr(parameter, choice)
    return values


def fill_response(message: Any, response: InferResponse, raw: bool) -> None:
    """Fill a `ModelInferResponse`, with tensors as bytes (`raw`) or as fields of the message."""
    message.model_name, message.model_version, message.id = response.model, VERSION, response.id
    for tensor in response.outputs:
        output = message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw:
            message.raw_output_contents.append(to_bytes(tensor))
            continue
        elements = tensor.values.ravel().tolist()
        is_text = tensor.datatype == "BYTES"
        field = getattr(output.contents, _CONTENTS[tensor.datatype])
        field.extend(map(as_bytes, elements) if is_text else elements)
