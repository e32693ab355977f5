"""Quantiles as Prometheus reads them from buckets."""

import math

import pytest

from serve.cli.top.model_row import quantile

INF = math.inf


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, {}, None),
        (0.5, {0.1: 0, INF: 0}, None),
        (0.5, {0.1: 10, INF: 10}, 0.05),
        (0.5, {0.1: 4, 0.2: 8, INF: 8}, 0.1),
        (0.75, {0.1: 4, 0.2: 8, INF: 8}, 0.15),
        (0.99, {0.1: 0, 0.2: 0, 0.4: 100, INF: 100}, 0.398),
        (0.99, {0.1: 4, 0.2: 4, INF: 8}, 0.2),
        (0.5, {0.1: 0, INF: 8}, 0.1),
        (0.5, {INF: 8, 0.2: 8, 0.1: 4}, 0.1),
        (0.5, {0.1: 5, 0.2: 4, INF: 5}, 0.05),
    ],
    ids=str,
)
def test_a_value_lies_in_its_bucket(share: float, counts: dict[float, float], expected: float | None) -> None:
    assert quantile(share, counts) == (expected if expected is None else pytest.approx(expected))
