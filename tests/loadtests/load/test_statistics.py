import math

import pytest

from loadtests.load.results import RequestResult
from loadtests.load.statistics import load_statistics


def request(
    due: float, took: float, outcome: str = "200", retry_after: float | None = None, late: float = 0.0
) -> RequestResult:
    return RequestResult(due, due + late, due + took, outcome, retry_after)


def test_statistics_count_within_the_period() -> None:
    load = [
        request(1.0, 4.5),  # due before, answered within
        request(5.0, 1.0),
        request(6.0, 3.0, late=0.1),
        request(7.0, 0.01, "429", 3),
        request(7.5, 0.02, "429", 5),
        request(8.0, 10.0, "504"),
        request(9.0, 5.0),  # due within, answered after
        request(10.0, 1.0),
    ]
    done = load_statistics(load, 5.0, 10.0)
    assert done.offered == pytest.approx(6 / 5)
    assert done.goodput == pytest.approx(3 / 5)
    assert done.p50_s == pytest.approx(3.0)
    assert done.p99_s == pytest.approx(4.96)
    assert (done.refused, done.lost) == (pytest.approx(2 / 6), pytest.approx(1 / 6))
    assert done.losses == {"504": 1}
    assert done.retry_after_s == (4, 3, 5)
    assert done.refused_p99_s == pytest.approx(0.0199)
    assert done.late_p99_s == pytest.approx(0.095)


def test_statistics_without_refusals_or_answers() -> None:
    calm = load_statistics([request(1.0, 0.1)], 0.0, 2.0)
    assert (calm.retry_after_s, calm.refused, calm.lost) == (None, 0, 0)
    dead = load_statistics([request(1.0, 15.0, "TimeoutError")], 0.0, 2.0)
    assert (dead.goodput, dead.lost) == (0, 1)
    assert math.isnan(dead.p99_s)
