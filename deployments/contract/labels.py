"""Logits to scores and labels, for all classification tasks. Arrays are numpy, float32."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from deployments.contract.task import Body

Function = Literal["softmax", "sigmoid", "none"]


class Label(BaseModel):
    label: str
    score: float


class LabelParameters(Body):
    """Parameters of image and audio classification."""

    top_k: int = Field(default=5, ge=1, description="Number of labels to return, best first.")
    function_to_apply: Function | None = Field(
        default=None, description="Default: softmax; sigmoid for multi-label models; none for regression."
    )


def default_function(config: Any, *, sigmoid_for_one: bool) -> Function:
    """The function that transformers' pipelines choose from the checkpoint's configuration.

    Args:
        config: the model's configuration.
        sigmoid_for_one: use sigmoid for a model with a single label (softmax would always give 1); the pipeline of
            audio-classification does not do so.
    """
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == "multi_label_classification" or (sigmoid_for_one and config.num_labels == 1):
        return "sigmoid"
    return "softmax"


def softmax(logits: Any) -> Any:
    """Softmax over the last dimension, shifted so that nothing overflows."""
    import numpy as np

    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def sigmoid(logits: Any) -> Any:
    """Elementwise sigmoid; takes exp of non-positive numbers only, so nothing overflows."""
    import numpy as np

    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def apply_function(logits: Any, function: Function) -> Any:
    """Scores, all of them finite: the logit of a label that the model excludes, minus infinity, is not JSON."""
    import numpy as np

    if function == "softmax":
        return softmax(logits)
    return sigmoid(logits) if function == "sigmoid" else np.maximum(logits, np.finfo(np.float32).min)


def best(scores: Any, labels: Mapping[int, str], top_k: int | None = None) -> list[dict[str, Any]]:
    """`[{"label", "score"}]` of the `top_k` best scores (None: all), best first; ties in the order of labels."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")[:top_k]
    return [{"label": labels[int(index)], "score": scores[index]} for index in order]
