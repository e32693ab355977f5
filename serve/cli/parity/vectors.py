"""Pooling of one input's hidden states, written down from sentence-transformers' definitions."""

from collections.abc import Callable, Mapping
from typing import Any

from serve.cli.parity.source import NoReference


def _weighted_mean(states: Any) -> Any:
    import numpy as np

    weights = np.arange(1, len(states) + 1)[:, None]
    return (states * weights).sum(0) / weights.sum()


MODES: Mapping[str, Callable[[Any], Any]] = {
    "cls": lambda states: states[0],
    "last": lambda states: states[-1],
    "mean": lambda states: states.mean(0),
    "max": lambda states: states.max(0),
    "mean_sqrt_len_tokens": lambda states: states.sum(0) / len(states) ** 0.5,
    "weightedmean": _weighted_mean,
}


def pooled(states: Any, pooling: Mapping[str, Any] | None) -> Any:
    """The states as they are, or one vector `[dim]` of them.

    Args:
        states: `[positions, dim]`, or `[dim, rows, columns]` of a convolutional model, as numpy arrays.
        pooling: `mode`, one or several of `MODES` whose vectors are joined, and `normalize`; None: no pooling.

    Raises:
        NoReference: a mode is unknown.
    """
    import numpy as np

    if pooling is None or pooling["mode"] == "none":
        return states
    modes = [pooling["mode"]] if isinstance(pooling["mode"], str) else pooling["mode"]
    if unknown := sorted(set(modes) - MODES.keys()):
        raise NoReference(f"pooling by {', '.join(unknown)}")
    flat = states.reshape(len(states), -1).T if states.ndim == 3 else states
    vector = np.concatenate([MODES[mode](flat) for mode in modes])
    return vector / max(float(np.linalg.norm(vector)), 1e-12) if pooling["normalize"] else vector
