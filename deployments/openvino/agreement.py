"""How far a build that computes in another dtype is from torch in float32: measured where it is made, and told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.contract.task import Prepared
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import Layout
from deployments.numerics import largest_difference

Outputs = Sequence[Sequence[Any]]
"""Of each item, an output for each row."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The measured difference between two ways to compute a model, on the same items.

    Attributes:
        items: that were compared.
        smallest_cosine: of an item's outputs, all numbers of it as one vector; None if all have one number.
        largest_difference: of a number; relative for values above 1.
        label_agreement: share of labels (best index, at each position that has one) that are the same; None if the
            outputs are vectors.
    """

    items: int
    smallest_cosine: float | None
    largest_difference: float
    label_agreement: float | None

    def __str__(self) -> str:
        parts = [f"by at most {self.largest_difference:.2g}"]
        parts += [] if self.smallest_cosine is None else [f"smallest cosine {self.smallest_cosine:.4f}"]
        parts += [] if self.label_agreement is None else [f"labels agree in {self.label_agreement:.1%}"]
        return ", ".join(parts)


def run_alone(task: ForwardTask[Any, Any], layout: Layout, items: Sequence[Prepared]) -> Outputs:
    """The outputs of items in a layout, a row at a time."""
    layout.attach()
    task.layout = layout
    try:
        return [[task.forward([row], item.params)[0] for row in item.rows] for item in items]
    finally:
        layout.detach()
        task.layout = None


def agreement_of(outputs: Outputs, expected: Outputs, labels_of: Callable[[Sequence[Any]], Any]) -> Agreement:
    """Compare outputs with those of torch.

    Args:
        outputs: of the build, by item and row.
        expected: of torch in float32, for the same items.
        labels_of: what the outputs of an item decide: an array of indices, or None if they are vectors.
    """
    pairs = [*zip(outputs, expected, strict=True)]
    cosines = [cosine for own, other in pairs if (cosine := _cosine(own, other)) is not None]
    same = [_same_labels(labels_of(own), labels_of(other)) for own, other in pairs]
    labels = sum(total for _, total in same)
    return Agreement(
        items=len(pairs),
        smallest_cosine=min(cosines, default=None),
        largest_difference=largest_difference([*map(list, outputs)], [*map(list, expected)]),
        label_agreement=sum(agreeing for agreeing, _ in same) / labels if labels else None,
    )


def _cosine(outputs: Sequence[Any], expected: Sequence[Any]) -> float | None:
    import numpy as np

    a, b = (np.concatenate([np.ravel(each).astype(np.float64) for each in rows]) for rows in (outputs, expected))
    if a.size < 2 or a.shape != b.shape:
        return None
    finite = np.isfinite(a) & np.isfinite(b)
    a, b = a[finite], b[finite]
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else None


def _same_labels(own: Any, other: Any) -> tuple[int, int]:
    """How many labels of an item are the same, and how many there are."""
    import numpy as np

    if own is None or other is None:
        return 0, 0
    return int(np.sum(np.equal(own, other))), int(np.size(other))
