"""Logits to scores: numbers against torch, extremes without overflow, ties in order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deployments.contract.labels import apply_function, best, sigmoid, softmax

logits = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=st.floats(-50, 50, width=32))


@given(logits)
def test_softmax_and_sigmoid_are_torchs(values):
    tensor = torch.from_numpy(values)
    np.testing.assert_allclose(softmax(values), tensor.softmax(-1), atol=1e-6)
    np.testing.assert_allclose(sigmoid(values), tensor.sigmoid(), atol=1e-6)


def test_extreme_logits_neither_overflow_nor_warn():
    extreme = np.array([-1e30, -1e4, 0.0, 1e4, 1e30], dtype=np.float32)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_array_equal(softmax(extreme), [0, 0, 0, 0, 1])
        np.testing.assert_array_equal(sigmoid(extreme), [0, 0, 0.5, 1, 1])


def test_precision_stays_float32():
    assert softmax(np.zeros(3, np.float32)).dtype == np.float32
    assert sigmoid(np.zeros(3, np.float32)).dtype == np.float32


@pytest.mark.parametrize(("function", "expected"), [("softmax", softmax), ("sigmoid", sigmoid), ("none", lambda x: x)])
def test_apply_function(function, expected):
    values = np.array([0.5, -2.0, 3.0], dtype=np.float32)
    np.testing.assert_array_equal(apply_function(values, function), expected(values))


def test_best_first_and_ties_in_the_order_of_labels():
    labels = dict(enumerate("abcd"))
    answer = best(np.array([0.2, 0.4, 0.2, 0.4], dtype=np.float32), labels)
    assert [entry["label"] for entry in answer] == ["b", "d", "a", "c"]
    many = best(np.tile([0.1, 0.2], 100), {i: str(i) for i in range(200)})
    assert [int(entry["label"]) for entry in many] == [*range(1, 200, 2), *range(0, 200, 2)]
    assert [entry["label"] for entry in best(np.array([0.1, 0.2, 0.3, 0.4]), labels, 2)] == ["d", "c"]
    assert len(best(np.array([0.1, 0.2]), labels, 10)) == 2


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_the_score_of_an_excluded_label_is_a_number(function):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        scores = apply_function(np.array([0.5, -np.inf, 2.0], dtype=np.float32), function)
    assert np.isfinite(scores).all()
    assert scores.argmin() == 1
    assert scores.dtype == np.float32
