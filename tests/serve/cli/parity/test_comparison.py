"""What counts as a difference between an answer and its reference."""

from typing import Any

import numpy as np
import pytest

from serve.cli.parity.comparison import Failure, compare
from serve.cli.parity.source import NoReference
from serve.cli.parity.vectors import pooled

TOLERANCE = 1e-4


def labels(**scores: float) -> list[dict[str, Any]]:
    return [{"label": label, "score": score} for label, score in scores.items()]


@pytest.mark.parametrize(
    ("answer", "expected", "number"),
    [
        ([[0.5, 1.0]], np.array([[0.5, 1.5]]), 0.5 / 1.5),  # relative above 1
        ([0.5], np.array([0.5]), 0.0),
        (labels(a=0.6, b=0.4), labels(a=0.61, b=0.39), 0.01),
        (labels(b=0.50001, a=0.49999), labels(a=0.50001, b=0.49999), 2e-5),  # equal scores have no order
        (labels(a=0.4, b=0.30001), labels(a=0.4, c=0.30001), 0.0),  # and the last ones of a cut list neither
        ({"text": "a", "more": 1}, {"text": "a"}, None),
        ({"score": 0.5, "start": 1}, {"score": 0.25, "start": 1}, 0.25),
    ],
)
def test_what_agrees(answer: Any, expected: Any, number: float | None) -> None:
    found = compare(answer, expected, TOLERANCE)
    assert found.what == ""
    assert found.number == (number if number is None else pytest.approx(number, abs=1e-9))


@pytest.mark.parametrize(
    ("answer", "expected", "what"),
    [
        (Failure("status 500: no"), {"text": "a"}, "status 500: no"),
        ({"text": "a"}, {"text": "b"}, "'a', not 'b'"),
        ({"start": 1}, {"start": 2}, "1, not 2"),
        ({}, {"text": "b"}, "the answer has no 'text'"),
        ([0.5], np.array([0.5, 0.5]), "another shape"),
        ([[0.5], [0.5, 0.5]], np.array([[0.5, 0.5]]), "another shape"),
        ([float("nan")], np.array([0.5]), "not finite"),
        (labels(b=0.6, a=0.4), labels(a=0.6, b=0.4), "'b', not 'a'"),
        (labels(a=0.6, x=0.4), labels(a=0.6, b=0.2), "'x', not 'b'"),
        (labels(a=0.6), labels(a=0.6, b=0.4), "1 entries, not 2"),
        ("a", [{"score": 0.5}], "no entries, not 1"),
    ],
)
def test_what_differs(answer: Any, expected: Any, what: str) -> None:
    assert what in compare(answer, expected, TOLERANCE).what


@pytest.mark.parametrize(
    ("mode", "vector"),
    [
        ("cls", [1, 2]),
        ("last", [3, 8]),
        ("mean", [2, 5]),
        ("max", [3, 8]),
        ("mean_sqrt_len_tokens", [4 / 2**0.5, 10 / 2**0.5]),
        ("weightedmean", [7 / 3, 6]),
        (("cls", "last"), [1, 2, 3, 8]),
    ],
)
def test_pooling(mode: Any, vector: list[float]) -> None:
    states = np.array([[1.0, 2.0], [3.0, 8.0]])
    assert pooled(states, {"mode": mode, "normalize": False}) == pytest.approx(vector)
    assert np.linalg.norm(pooled(states, {"mode": mode, "normalize": True})) == pytest.approx(1)


def test_no_pooling_and_an_unknown_one() -> None:
    states = np.ones((2, 2))
    assert pooled(states, None) is states
    with pytest.raises(NoReference, match="pooling by splade"):
        pooled(states, {"mode": "splade", "normalize": False})
