import math

import pytest

from loadtests.report.targets import Target


@pytest.mark.parametrize(
    ("target", "is_met", "bound"),
    [
        (Target("rate", 0.9, 0.95), True, ">= 0.9"),
        (Target("rate", 0.9, 0.89), False, ">= 0.9"),
        (Target("cost", 0.9, 0.89, at_most=True), True, "<= 0.9"),
        (Target("cost", 0.9, 0.95, at_most=True), False, "<= 0.9"),
        (Target("cost", 0.9, math.nan, at_most=True), False, "<= 0.9"),
    ],
)
def test_a_target_is_met_on_its_side_of_the_bound(target: Target, is_met: bool, bound: str) -> None:
    assert (target.is_met, target.bound) == (is_met, bound)
