"""What vectors a model gives, and the refusal of those that it does not give."""

from collections.abc import Mapping

from deployments.errors import InvalidInput
from serve.routes import Route

# By what a task declares: in words, and where its models are asked for them.
_KINDS: Mapping[str, tuple[str, str]] = {
    "dense": ("one dense vector per text", "/embed"),
    "sparse": ("a sparse vector per text", "/embed_sparse"),
    "several": ("a vector per token", "/embed_all, /similarity or /rerank"),
}


def require_vectors(route: Route, *kinds: str) -> None:
    """Refuse a model whose vectors are none of these kinds.

    Raises:
        InvalidInput: it gives others; the message says which, and where.
    """
    given = route.kind.vectors
    if given not in kinds:
        words, path = _KINDS[given]
        wanted = " or ".join(_KINDS[kind][0] for kind in kinds)
        raise InvalidInput(f"model: {route.model!r} gives {words}, not {wanted}; use {path}, or name another model")
