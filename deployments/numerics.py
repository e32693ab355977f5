"""The difference between a model's outputs and reference outputs."""

from typing import Any


def largest_difference(outputs: Any, reference: Any) -> float:
    """Largest absolute difference, relative for values above 1; infinite if shapes differ or there is a NaN."""
    import numpy as np

    if isinstance(reference, (list, tuple)):
        if len(outputs) != len(reference):
            return float("inf")
        return max((largest_difference(a, b) for a, b in zip(outputs, reference, strict=True)), default=0.0)
    a, b = np.asarray(outputs, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0:
        return 0.0
    difference = float((np.abs(a - b) / np.maximum(1.0, np.abs(b))).max())
    return float("inf") if np.isnan(difference) else difference
