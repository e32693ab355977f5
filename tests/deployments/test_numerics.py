"""Which outputs of a model can become answers."""

import numpy as np
import pytest

from deployments.numerics import are_logits, is_finite

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "finite", "logits"),
    [
        ([0.5, -3.0], True, True),
        (1.5, True, True),
        ([[0.5, -INF], [1.0, 2.0]], False, True),  # a label that the model excludes
        ([[0.5, 2.0], [-INF, -INF]], False, False),  # softmax would be NaN
        ([0.5, INF], False, False),
        ([[0.5, 1.0], [NAN, 1.0]], False, False),
        (NAN, False, False),
        (-INF, False, False),
        ([], True, True),
    ],
)
def test_nan_and_infinity_are_no_outputs(values: object, finite: bool, logits: bool) -> None:
    array = np.asarray(values, dtype=np.float32)
    assert (is_finite(array), are_logits(array)) == (finite, logits)
