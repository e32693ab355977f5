import statistics

import pytest

from loadtests.load.arrivals import Phase, arrival_times

PHASES = [Phase(100, 20), Phase(1000, 10)]


def test_arrivals_have_the_rate_of_each_phase_and_are_independent() -> None:
    times = list(arrival_times(PHASES, seed=7))
    assert times == sorted(times)
    first, second = [t for t in times if t < 20], [t for t in times if t >= 20]
    assert len(first) == pytest.approx(2000, rel=0.1)
    assert len(second) == pytest.approx(10_000, rel=0.05)
    assert max(times) < 30
    gaps = [b - a for a, b in zip(second, second[1:], strict=False)]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.1)  # as of an exponential distribution


def test_the_same_seed_gives_the_same_arrivals() -> None:
    assert list(arrival_times(PHASES, seed=7)) == list(arrival_times(PHASES, seed=7))
    assert list(arrival_times(PHASES, seed=7)) != list(arrival_times(PHASES, seed=8))
