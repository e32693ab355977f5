"""The protocol's messages over gRPC, from `protocol.binpb`, which `python -m serve.apis.open_inference.compile` makes.

They have a pool of their own: in the common one, clients' libraries have registered messages of the same names.
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
    NUMBERS,
    ONLY_BYTES,
    Array,
    Tensor,
    as_bytes,
    from_bytes,
    of_objects,
    require_form,
    to_bytes,
)

COMPILED = Path(__file__).with_name("protocol.binpb")
PACKAGE = "inference"
SERVICE = "GRPCInferenceService"

# Where the elements of a datatype stand; FP16 and BF16 come as bytes only.
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
    """The messages' classes, as attributes, and the methods of the service."""

    def __init__(self) -> None:
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(COMPILED.read_bytes()).file:
            pool.AddSerializedFile(file.SerializeToString())
        self._service = pool.FindServiceByName(f"{PACKAGE}.{SERVICE}")

    def methods(self) -> dict[str, tuple[Any, Any]]:
        """Names of the service's methods to the classes of what they take and give."""
        return {
            method.name: (GetMessageClass(method.input_type), GetMessageClass(method.output_type))
            for method in self._service.methods
        }


def infer_request(message: Any) -> InferRequest:
    """The question in a `ModelInferRequest`.

    Raises:
        ServiceError: a tensor that is none.
    """
    raw: Sequence[bytes] = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise MalformedRequest(f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs")
    inputs = [_tensor(tensor, raw[place] if raw else None) for place, tensor in enumerate(message.inputs)]
    outputs = [RequestedOutput.of(output.name, _parameters(output.parameters)) for output in message.outputs]
    return InferRequest(message.id, _parameters(message.parameters), inputs, outputs or None)


def _tensor(tensor: Any, raw: bytes | None) -> Tensor:
    shape = tuple(tensor.shape)
    if raw is None:
        values = _typed(tensor, shape)
    elif tensor.HasField("contents"):
        raise MalformedRequest(f"input {tensor.name!r}: has contents and raw_input_contents; one of them is enough")
    else:
        values = from_bytes(tensor.name, tensor.datatype, shape, raw)
    return Tensor(tensor.name, tensor.datatype, values, _parameters(tensor.parameters))


def _typed(tensor: Any, shape: tuple[int, ...]) -> Array:
    """The array of a tensor whose elements are numbers of the message."""
    require_form(tensor.name, tensor.datatype, shape)
    if tensor.datatype in ONLY_BYTES:
        raise InvalidInput(f"input {tensor.name!r}: {tensor.datatype} comes in raw_input_contents only")
    field = _CONTENTS[tensor.datatype]
    elements = list(getattr(tensor.contents, field))
    if len(elements) != prod(shape):
        raise InvalidInput(
            f"input {tensor.name!r}: {len(elements):,} elements in {field}, but the shape {list(shape)} has "
            f"{prod(shape):,}"
        )
    if tensor.datatype == "BYTES":
        return of_objects(elements, shape)
    try:
        return np.array(elements, NUMBERS[tensor.datatype]).reshape(shape)
    except OverflowError:
        raise InvalidInput(f"input {tensor.name!r}: {field} holds a number that is none of {tensor.datatype}") from None


def _parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidInput(f"parameter {name!r}: has no value")
        values[name] = getattr(parameter, choice)
    return values


def fill_response(message: Any, response: InferResponse, raw: bool) -> None:
    """Write an answer into a `ModelInferResponse`, its tensors as bytes or as numbers of the message."""
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
