"""Logits to scores and labels, as every classification task answers them. Arrays are numpy, float32."""

from collections.abc import Mapping
from typing import Any, Literal

Function = Literal["softmax", "sigmoid", "none"]


def softmax(logits: Any) -> Any:
    """Over the last dimension, shifted so that nothing overflows."""
    import numpy as np

    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def sigmoid(logits: Any) -> Any:
    """Element by element; exp of a non-positive number only, so that nothing overflows."""
    import numpy as np

    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def apply_function(logits: Any, function: Function) -> Any:
    if function == "softmax":
        return softmax(logits)
    return sigmoid(logits) if function == "sigmoid" else logits


def best(scores: Any, labels: Mapping[int, str], top_k: int | None = None) -> list[dict[str, Any]]:
    """`[{"label", "score"}]` for the `top_k` best scores (all by default), best first; ties keep the labels' order."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")[:top_k]
    return [{"label": labels[int(index)], "score": scores[index]} for index in order]
