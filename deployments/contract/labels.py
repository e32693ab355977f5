"""Logits to scores and labels, as every classification task answers them. Arrays are numpy, float32."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from deployments.contract.task import Body

Function = Literal["softmax", "sigmoid", "none"]


class Label(BaseModel):
    label: str
    score: float


class LabelParameters(Body):
    """What a caller may ask of the classification of a picture or a recording."""

    top_k: int = Field(default=5, ge=1, description="Only the best so many labels.")
    function_to_apply: Function | None = Field(
        default=None, description="Default: softmax; sigmoid for multi-label models; none for regression."
    )


def default_function(config: Any, *, sigmoid_for_one: bool) -> Function:
    """As transformers' pipelines choose it from the checkpoint's configuration.

    Args:
        config: of the model.
        sigmoid_for_one: a model with one label answers with its sigmoid (softmax would always be 1); the pipeline of
            audio-classification does not do so.
    """
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == "multi_label_classification" or (sigmoid_for_one and config.num_labels == 1):
        return "sigmoid"
    return "softmax"


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
