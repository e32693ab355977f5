import math

import pytest

from loadtests.load.percentiles import mean, median, percentile


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (25, 2.0), (50, 3.0), (75, 4.0), (90, 4.6), (99, 4.96), (100, 5.0)]
)
def test_a_percentile_lies_between_its_neighbours_in_proportion(percent: float, expected: float) -> None:
    assert percentile([5.0, 1.0, 4.0, 2.0, 3.0], percent) == pytest.approx(expected)


def test_percentiles_agree_with_numpy() -> None:
    import numpy as np

    values = np.random.default_rng(0).lognormal(size=101).tolist()
    for percent in (1, 50, 95, 99):
        assert percentile(values, percent) == pytest.approx(float(np.percentile(values, percent)))


def test_the_median_of_an_even_number_lies_in_the_middle() -> None:
    assert median([1.0, 2.0, 4.0, 8.0]) == 3.0


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 50))
    assert math.isnan(mean([]))
