"""Pooling of hidden states to one vector, and the options of vectors in requests."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from deployments.config import ModelConfig, Pooling
from deployments.contract.task import RequestBody
from deployments.errors import InvalidInput, LoadError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    IntArray = np.ndarray[Any, np.dtype[np.int64]]


def pool(hidden: Any, lengths: Sequence[int], modes: Sequence[str], skip: int = 0) -> Any:
    """Pool hidden states `[rows, positions, dim]` to vectors `[rows, modes * dim]`, in a few operations for all rows.

    Tensors stay on their device; arrays of numpy need no torch.

    The modes are those of sentence-transformers; `cls` is the first position, and `last` the last one. In
    `weightedmean` the n-th position counts n times.

    Args:
        hidden: hidden states; positions beyond a row's length are padding and ignored.
        lengths: length of each row, in positions.
        modes: of which the vectors are joined.
        skip: positions at the start of each row, those of a prompt, that are ignored; the last position never is.
    """
    import numpy as np

    is_array = isinstance(hidden, np.ndarray)
    bags = _ArrayBags(hidden) if is_array else _TensorBags(hidden)
    vectors = [_pool(hidden, bags, lengths, mode, skip) for mode in modes]
    if len(vectors) == 1:
        return vectors[0]
    if is_array:
        return np.concatenate(vectors, axis=-1)
    import torch

    return torch.cat(vectors, dim=-1)


class _Bags(Protocol):
    """Sums over positions `[rows * positions, dim]`; a row's bag are positions that follow one another."""

    def at(self, positions: "IntArray") -> Any:
        """The states at one position of each row."""

    def reduce(self, mode: Literal["sum", "max"], real: "IntArray", starts: "IntArray", weights: Any = None) -> Any:
        """Per bag the weighted sum or the maximum of the positions `real`, of which bags begin at `starts`."""

    def scaled(self, vectors: Any, divisors: Any) -> Any:
        """Each row's vector, divided by its number."""


class _ArrayBags:
    def __init__(self, hidden: Any) -> None:
        self._states = hidden.reshape(-1, hidden.shape[-1])

    def at(self, positions: "IntArray") -> Any:
        return self._states[positions]

    def reduce(self, mode: Literal["sum", "max"], real: "IntArray", starts: "IntArray", weights: Any = None) -> Any:
        import numpy as np

        states = self._states[real]
        if mode == "max":
            return np.maximum.reduceat(states, starts)
        # One product per row: numpy's sum along the first axis adds one position after another, twice as slowly.
        weights = np.ones(len(real), np.float32) if weights is None else weights
        ends = [*starts[1:], len(real)]
        return np.stack([weights[a:b] @ states[a:b] for a, b in zip(starts, ends, strict=True)])

    def scaled(self, vectors: Any, divisors: Any) -> Any:
        return vectors / divisors[:, None]


class _TensorBags:
    def __init__(self, hidden: "Tensor") -> None:
        self._states = hidden.reshape(-1, hidden.shape[-1])

    def at(self, positions: "IntArray") -> Any:
        return self._states[self._tensor(positions)]

    def reduce(self, mode: Literal["sum", "max"], real: "IntArray", starts: "IntArray", weights: Any = None) -> Any:
        import torch

        # One bag per row reads only the row's own positions. Multiplying padding by zero took eight times as long.
        return torch.nn.functional.embedding_bag(
            self._tensor(real),
            self._states.float(),
            self._tensor(starts),
            mode=mode,
            per_sample_weights=None if weights is None else self._tensor(weights),
        )

    def scaled(self, vectors: Any, divisors: Any) -> Any:
        return vectors / self._tensor(divisors)[:, None]

    def _tensor(self, values: Any) -> "Tensor":
        import torch

        return torch.from_numpy(values).to(self._states.device)


def _pool(hidden: Any, bags: _Bags, lengths: Sequence[int], mode: str, skip: int) -> Any:
    import numpy as np

    if mode == "cls" and not skip:
        return hidden[:, 0]
    starts = np.arange(len(lengths)) * hidden.shape[1]
    ends = starts + np.asarray(lengths)
    firsts = np.minimum(starts + skip, ends - 1)
    if mode in ("cls", "last"):
        return bags.at(firsts if mode == "cls" else ends - 1)
    real = np.concatenate([np.arange(first, end) for first, end in zip(firsts, ends, strict=True)])
    counts = ends - firsts
    bag_starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    if mode == "max":
        return bags.reduce("max", real, bag_starts)
    if mode != "weightedmean":
        divisors = counts.astype(np.float32) if mode == "mean" else np.sqrt(counts, dtype=np.float32)
        return bags.scaled(bags.reduce("sum", real, bag_starts), divisors)
    weights = (real - np.repeat(starts, counts) + 1).astype(np.float32)
    return bags.scaled(bags.reduce("sum", real, bag_starts, weights), np.add.reduceat(weights, bag_starts))


class VectorOptions(RequestBody):
    """Output options of a feature-extraction request."""

    normalize: bool | None = Field(
        default=None, description="Scale vectors to length 1; default: as in the checkpoint."
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="Return only the first dimensions of each vector; normalization follows."
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64: each vector as little-endian float32 bytes."
    )

    def check(self, width: int | None, pooling: Pooling | None) -> None:
        """Check `dimensions` against the model, as far as possible before it has run.

        Raises:
            InvalidInput: the model returns hidden states, or `dimensions` is above `width` (None: unknown).
        """
        if self.dimensions is None:
            return
        if pooling is None or not pooling.modes:
            raise InvalidInput("dimensions applies to pooled vectors; this model returns hidden states")
        if width is not None and self.dimensions > width:
            raise InvalidInput(f"dimensions is {self.dimensions}; the model's vectors have {width}")

    def finish(self, vector: "np.ndarray[Any, Any]", pooling: Pooling | None) -> Any:
        """Apply the options to a vector `[dim]`, hidden states `[positions, dim]` or maps `[dim, rows, columns]`.

        Raises:
            InvalidInput: `dimensions` is above the vector's own, or `normalize` is set for maps.
        """
        self.check(vector.shape[-1], pooling)
        vector = vector[..., : self.dimensions]
        if (pooling is not None and pooling.normalize) if self.normalize is None else self.normalize:
            if vector.ndim > 2:
                raise InvalidInput("normalize applies to vectors; this model returns maps, [dim][rows][columns]")
            vector = _unit(vector)
        if self.encoding_format == "base64":
            return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
        return vector


def configured_pooling(config: ModelConfig) -> Pooling | None:
    """The pooling of a model without sentence-transformers files: as configured, else none.

    Raises:
        LoadError: it is for masked language models.
    """
    if config.pooling is not None and config.pooling.mode == "splade":
        raise LoadError(f"{config.model}: pooling.mode: splade is for masked language models, which read text")
    return config.pooling if config.pooling is not None and config.pooling.modes else None


def join_vectors(answers: list[Any], *, is_list: bool, pooled: bool) -> Any:
    """With pooling `[inputs][dim]`, also for a single input; without, hidden states of an input or a list of them."""
    return answers if is_list or pooled else answers[0]


def _unit(vectors: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Normalize over the last dimension; a zero vector stays zero."""
    import numpy as np

    unit: np.ndarray[Any, Any] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
