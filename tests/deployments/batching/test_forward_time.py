"""What the last batches say of the next."""

import pytest

from deployments.batching.forward_time import REMEMBERED, ForwardTime


def test_few_batches_say_nothing():
    estimate = ForwardTime()
    for _ in range(REMEMBERED - 1):
        estimate.note(10, 1.0)
    assert estimate.at_least(10) == 0
    estimate.note(10, 1.0)
    assert estimate.at_least(10) == pytest.approx(1.0)
    assert estimate.at_least(5) == pytest.approx(0.5)


def test_the_fastest_of_the_last_batches_counts():
    estimate = ForwardTime()
    for seconds in range(REMEMBERED, 0, -1):
        estimate.note(10, float(seconds))
    assert estimate.at_least(10) == pytest.approx(1.0)
    for _ in range(REMEMBERED):
        estimate.note(1, 2.0)
    assert estimate.at_least(10) == pytest.approx(20.0)


def test_a_batch_of_no_cost_is_no_error():
    estimate = ForwardTime()
    for _ in range(REMEMBERED):
        estimate.note(0, 0.5)
    assert estimate.at_least(0) == 0
