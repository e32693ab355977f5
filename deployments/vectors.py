"""What every feature-extraction may ask of its vectors: length one, fewer dimensions, base64."""

import base64
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from deployments.body import RequestBody
from deployments.config import ModelConfig, Pooling
from deployments.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np


class VectorOptions(RequestBody):
    """The options of a request, beside its inputs."""

    normalize: bool | None = Field(default=None, description="Vectors of length one; default: as the checkpoint says.")
    dimensions: int | None = Field(default=None, ge=1, description="Only the first so many, normalised again.")
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64: each vector as little-endian float32 bytes."
    )

    def check(self, width: int | None, pooling: Pooling | None) -> None:
        """Refuse what a model's vectors cannot be, as far as it is known before the model has run.

        Raises:
            InvalidInput: `dimensions` of hidden states, or more of them than `width`, where that is known.
        """
        if self.dimensions is None:
            return
        if pooling is None or pooling.mode == "none":
            raise InvalidInput("dimensions applies to pooled vectors; this model answers with hidden states")
        if width is not None and self.dimensions > width:
            raise InvalidInput(f"dimensions is {self.dimensions}; the model's vectors have {width}")

    def finish(self, vector: "np.ndarray[Any, Any]", pooling: Pooling | None) -> Any:
        """A vector `[dim]`, hidden states `[places, dim]` or maps `[dim, rows, columns]` as asked for, or as base64.

        Raises:
            InvalidInput: `dimensions` above the vector's own, or maps of length one.
        """
        self.check(vector.shape[-1], pooling)
        vector = vector[..., : self.dimensions]
        if (pooling is not None and pooling.normalize) if self.normalize is None else self.normalize:
            if vector.ndim > 2:
                raise InvalidInput("normalize applies to vectors; this model answers with maps, [dim][rows][columns]")
            vector = _unit(vector)
        if self.encoding_format == "base64":
            return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
        return vector


def configured_pooling(config: ModelConfig) -> Pooling | None:
    """How a model without files about it pools: as configured, else not at all."""
    return None if config.pooling is None or config.pooling.mode == "none" else config.pooling


def join_vectors(answers: list[Any], *, is_list: bool, pooled: bool) -> Any:
    """`[inputs][dim]` of a pooled model, also for a single input; else one input's hidden states, or a list of them."""
    return answers if is_list or pooled else answers[0]


def _unit(vectors: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Length one over the last dimension; a zero vector stays zero."""
    import numpy as np

    unit: np.ndarray[Any, Any] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
