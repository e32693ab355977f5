import math

import pytest

from loadtests.bench.overload.recovery import aftermath
from loadtests.load.open_load import Asked
from loadtests.load.statistics import level


def asked(due: float, took: float, outcome: str = "200", retry_after: float | None = None, late: float = 0.0) -> Asked:
    return Asked(due, due + late, due + took, outcome, retry_after)


def test_a_level_counts_between_its_moments() -> None:
    load = [
        asked(1.0, 4.5),  # due before, answered within
        asked(5.0, 1.0),
        asked(6.0, 3.0, late=0.1),
        asked(7.0, 0.01, "429", 3),
        asked(7.5, 0.02, "429", 5),
        asked(8.0, 10.0, "504"),
        asked(9.0, 5.0),  # due within, answered after
        asked(10.0, 1.0),
    ]
    figures = level(load, 5.0, 10.0)
    assert figures.offered == pytest.approx(6 / 5)
    assert figures.goodput == pytest.approx(3 / 5)
    assert figures.p50_s == pytest.approx(3.0)
    assert figures.p99_s == pytest.approx(4.96)
    assert (figures.refused, figures.lost) == (pytest.approx(2 / 6), pytest.approx(1 / 6))
    assert figures.losses == {"504": 1}
    assert figures.retry_after_s == (4, 3, 5)
    assert figures.refused_p99_s == pytest.approx(0.0199)
    assert figures.late_p99_s == pytest.approx(0.095)


def test_a_level_without_refusals_or_answers() -> None:
    calm = level([asked(1.0, 0.1)], 0.0, 2.0)
    assert (calm.retry_after_s, calm.refused, calm.lost) == (None, 0, 0)
    dead = level([asked(1.0, 15.0, "TimeoutError")], 0.0, 2.0)
    assert (dead.goodput, dead.lost) == (0, 1)
    assert math.isnan(dead.p99_s)


def test_recovery_is_the_first_two_seconds_as_full_as_the_peak_and_the_first_second_as_quick_as_before() -> None:
    # Ten answers a second at the peak; after the overload, at 20 s, nothing for three seconds, then as before.
    before = [asked(number / 10, 0.05) for number in range(200)]
    silent = [asked(20 + number / 5, 4.0) for number in range(15)]
    slow = [asked(23 + number / 10, 0.5) for number in range(20)]
    quick = [asked(25 + number / 10, 0.05) for number in range(100)]
    after = aftermath([*before, *silent, *slow, *quick], 20.0, 35.0, 10.0, 0.05)
    assert after.goodput_s == pytest.approx(3.25, abs=0.5)
    assert after.calm_s == pytest.approx(5.0, abs=0.5)
    assert after.unanswered == 0


def test_what_never_recovers() -> None:
    load = [asked(number / 10, 15.0, "TimeoutError") for number in range(400)]
    after = aftermath(load, 20.0, 40.0, 10.0, 0.05)
    assert math.isnan(after.goodput_s)
    assert math.isnan(after.calm_s)
    assert after.unanswered == 1


def test_recovery_at_once() -> None:
    load = [asked(number / 10, 0.05) for number in range(400)]
    after = aftermath(load, 20.0, 40.0, 10.0, 0.05)
    assert (after.goodput_s, after.calm_s) == (0, 0)
