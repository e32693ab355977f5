"""Requests and responses of the protocol, independent of HTTP and gRPC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from deployments.errors import InvalidInput
from serve.apis.open_inference.tensor import Tensor

VERSION = "1"  # of every model

BINARY = "binary_data"  # parameter of an output; without effect over gRPC

Parameters = Mapping[str, Any]


def flag(parameters: Parameters, name: str) -> bool | None:
    """A boolean parameter; None if it is absent.

    Raises:
        InvalidInput: it is not a boolean.
    """
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(f"parameter {name!r}: should be true or false")
    return value


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output tensor that the client requests.

    Attributes:
        name: of the tensor.
        binary: whether it is sent as bytes over HTTP; None for the request's default.
    """

    name: str
    binary: bool | None = None

    @classmethod
    def parse(cls, name: str, parameters: Parameters) -> Self:
        """An output from its name and parameters.

        Raises:
            InvalidInput: an unknown parameter.
        """
        if unknown := sorted(parameters.keys() - {BINARY}):
            raise InvalidInput(f"output {name!r}: unknown parameter {unknown[0]!r}; there is {BINARY}")
        return cls(name, flag(parameters, BINARY))


@dataclass(frozen=True, slots=True)
class InferRequest:
    """An inference request.

    Attributes:
        id: set by the client, returned in the response.
        parameters: of the whole request.
        inputs: the tensors.
        outputs: the requested tensors; None for the model's default.
    """

    id: str
    parameters: Parameters
    inputs: Sequence[Tensor]
    outputs: Sequence[RequestedOutput] | None


@dataclass(frozen=True, slots=True)
class InferResponse:
    """An inference response."""

    model: str
    id: str
    outputs: Sequence[Tensor]
