"""A request and an answer of the protocol, whichever way they came and go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from deployments.errors import InvalidInput
from serve.apis.open_inference.tensor import Tensor

VERSION = "1"  # of every model: there is one of each

BINARY = "binary_data"  # of an output; over gRPC it says nothing

Parameters = Mapping[str, Any]


def flag(parameters: Parameters, name: str) -> bool | None:
    """A parameter that is true or false; None where it is not there.

    Raises:
        InvalidInput: it is something else.
    """
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(f"parameter {name!r}: should be true or false")
    return value


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that is asked for.

    Attributes:
        name: of the tensor.
        binary: whether as bytes, over HTTP; None leaves it to the request.
    """

    name: str
    binary: bool | None = None

    @classmethod
    def of(cls, name: str, parameters: Parameters) -> Self:
        """An output with its parameters.

        Raises:
            InvalidInput: one that there is not.
        """
        if unknown := sorted(parameters.keys() - {BINARY}):
            raise InvalidInput(f"output {name!r}: parameter {unknown[0]!r} is not known; there is {BINARY}")
        return cls(name, flag(parameters, BINARY))


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What is asked.

    Attributes:
        id: the client's own, which comes back.
        parameters: of the whole request.
        inputs: the tensors.
        outputs: what is asked for; None for what the model gives by itself.
    """

    id: str
    parameters: Parameters
    inputs: Sequence[Tensor]
    outputs: Sequence[RequestedOutput] | None


@dataclass(frozen=True, slots=True)
class InferResponse:
    """What a model answers."""

    model: str
    id: str
    outputs: Sequence[Tensor]
