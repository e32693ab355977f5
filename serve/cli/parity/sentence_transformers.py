"""References by sentence-transformers, for the checkpoints that it writes. The package need not be installed."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from serve.cli.parity.calls import Answer
from serve.cli.parity.source import NoReference, Source


def vectors(source: Source) -> Answer:
    """By `SentenceTransformer`: a vector `[dim]`."""
    return _model(source, "SentenceTransformer").encode  # type: ignore[no-any-return]


def sparse_vectors(source: Source) -> Answer:
    """By `SparseEncoder`: `[{index, value}]` of the entries that are not zero."""
    model = _model(source, "SparseEncoder")

    def answer(text: str) -> Any:
        vector = model.encode(text, convert_to_sparse_tensor=False)
        return [{"index": int(index), "value": float(vector[index])} for index in vector.nonzero()[:, 0]]

    return answer


def token_vectors(source: Source) -> Answer:
    """By `MultiVectorEncoder`: the vectors `[tokens, dim]` of a document."""
    return _numbers(_model(source, "MultiVectorEncoder").encode_document)


def pair_scores(source: Source) -> Answer:
    """By `CrossEncoder`: the one label of a pair, with its score."""
    model, (label,) = _model(source, "CrossEncoder"), source.about["labels"]

    def answer(pair: dict[str, str]) -> Any:
        (score,) = model.predict([(pair["text"], pair["text_pair"])])
        return [{"label": label, "score": float(score)}]

    return answer


def is_installed() -> bool:
    return find_spec("sentence_transformers") is not None


def _model(source: Source, name: str) -> Any:
    """A model by a class of sentence-transformers, with the dtype and the maximum length that are served.

    Raises:
        NoReference: the package is not installed.
    """
    if not is_installed():
        raise NoReference("the reference is sentence-transformers, which is not installed")
    import sentence_transformers

    place = source.place
    return getattr(sentence_transformers, name)(
        place["pretrained_model_name_or_path"],
        revision=place["revision"],
        device=source.device,
        model_kwargs={"dtype": source.dtype},
    )


def _numbers(encode: Callable[[str], Any]) -> Answer:
    """The same with arrays of numpy in place of tensors."""
    import numpy as np

    return lambda text: np.asarray(encode(text))
