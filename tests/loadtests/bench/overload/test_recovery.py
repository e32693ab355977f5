import math

import pytest

from loadtests.bench.overload.recovery import recovery
from loadtests.load.results import RequestResult


def request(due: float, took: float, outcome: str = "200") -> RequestResult:
    return RequestResult(due, due, due + took, outcome)


def test_goodput_and_latency_recover_separately() -> None:
    # The peak is ten answers per second. After the overload, at 20 s: none for three seconds, slow ones for two, then
    # as before.
    before = [request(number / 10, 0.05) for number in range(200)]
    silent = [request(20 + number / 5, 4.0) for number in range(15)]
    slow = [request(23 + number / 10, 0.5) for number in range(20)]
    quick = [request(25 + number / 10, 0.05) for number in range(100)]
    after = recovery([*before, *silent, *slow, *quick], 20.0, 35.0, 10.0, 0.05)
    assert after.goodput_s == pytest.approx(3.25, abs=0.5)
    assert after.latency_s == pytest.approx(5.0, abs=0.5)
    assert after.unanswered == 0


def test_no_recovery() -> None:
    load = [request(number / 10, 15.0, "TimeoutError") for number in range(400)]
    after = recovery(load, 20.0, 40.0, 10.0, 0.05)
    assert math.isnan(after.goodput_s)
    assert math.isnan(after.latency_s)
    assert after.unanswered == 1


def test_recovery_at_once() -> None:
    load = [request(number / 10, 0.05) for number in range(400)]
    after = recovery(load, 20.0, 40.0, 10.0, 0.05)
    assert (after.goodput_s, after.latency_s) == (0, 0)
