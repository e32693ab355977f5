"""Whether a model's outputs are numbers, and how far they are from reference outputs."""

from typing import Any

NOT_FINITE = "the model's outputs for this input are not finite (NaN or infinity)"


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


def as_float32(values: Any) -> Any:
    """A tensor of torch or an array as a numpy array of float32."""
    import numpy as np

    return np.asarray(values, np.float32) if isinstance(values, np.ndarray) else values.float().cpu().numpy()


def is_finite(values: Any) -> bool:
    """Whether there is no NaN and no infinity."""
    import numpy as np

    return bool(np.isfinite(values).all())


def are_logits(values: Any) -> bool:
    """Whether softmax over the last dimension gives numbers.

    No value is NaN or infinity. Minus infinity is how a model excludes a label or token (its probability is 0); it may
    stand beside a finite value.
    """
    import numpy as np

    finite = np.isfinite(values)
    return bool(finite.all() or ((finite | np.isneginf(values)).all() and finite.any(axis=-1).all()))
