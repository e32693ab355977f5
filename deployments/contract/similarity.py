"""Similarity of vectors, and the request for it; arrays are numpy, float32."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from deployments.contract.task import Body
from deployments.errors import LoadError


class Sentences(Body):
    """A text, and others to compare it with."""

    source_sentence: str
    sentences: Annotated[list[str], Field(min_length=1)]

    @property
    def texts(self) -> list[str]:
        """All of them, the source first."""
        return [self.source_sentence, *self.sentences]


def _cosine(one: Any, others: Any) -> Any:
    import numpy as np

    lengths = np.linalg.norm(one) * np.linalg.norm(others, axis=-1)
    return others @ one / np.maximum(lengths, 1e-12)


def _dot(one: Any, others: Any) -> Any:
    return others @ one


def _euclidean(one: Any, others: Any) -> Any:
    import numpy as np

    return -np.linalg.norm(others - one, axis=-1)


def _manhattan(one: Any, others: Any) -> Any:
    import numpy as np

    return -np.abs(others - one).sum(-1)


def similarity_of(name: str) -> Callable[[Any, Any], Any]:
    """The similarities `[others]` of a vector `[dim]` to others `[others, dim]`; of a distance its negative.

    Raises:
        LoadError: none has this name.
    """
    if name not in _SIMILARITIES:
        raise LoadError(f"similarity_fn_name {name!r} is not supported; there are {', '.join(_SIMILARITIES)}")
    return _SIMILARITIES[name]


_SIMILARITIES: Mapping[str, Callable[[Any, Any], Any]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}


def max_sim(query: Any, documents: Sequence[Any], *, is_mean: bool = False) -> list[float]:
    """MaxSim of a query `[tokens, dim]` to documents `[tokens, dim]` each: the best similarity to a token of the
    document, summed over the tokens of the query (`is_mean`: their mean). A document without tokens has 0.
    """
    sums = [float((document @ query.T).max(0).sum()) if len(document) else 0.0 for document in documents]
    return [value / len(query) for value in sums] if is_mean else sums
