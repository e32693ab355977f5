"""A model of transformers, called with one input."""

from collections.abc import Callable, Mapping
from typing import Any

Answer = Callable[[Any], Any]
"""From a request's `inputs` to the answer, as JSON has it, with numpy arrays."""

NEW_TOKENS = 16
GREEDY = {"max_new_tokens": NEW_TOKENS, "do_sample": False}


def run(model: Any, features: Mapping[str, Any]) -> Any:
    """The model's output for the features, on its device and in its precision."""
    import torch

    with torch.inference_mode():
        return model(**placed(model, features))


def placed(model: Any, features: Mapping[str, Any]) -> dict[str, Any]:
    """The features on the model's device, floats in its precision."""
    moved = {name: value.to(model.device) for name, value in features.items()}
    return {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in moved.items()}


def last_state(model: Any, features: Mapping[str, Any]) -> Any:
    """The last hidden state of one input, without a batch dimension, as a numpy array."""
    return run(model, features).last_hidden_state[0].float().cpu().numpy()


def generate(model: Any, inputs: Mapping[str, Any]) -> list[int]:
    """Tokens of greedy `generate`, with the prompt that it repeats."""
    import torch

    with torch.inference_mode():
        ids: list[int] = model.generate(**placed(model, inputs), **GREEDY, num_beams=1)[0].tolist()
    return ids


def softmax(logits: Any) -> Any:
    """Of all numbers of an array."""
    import numpy as np

    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
