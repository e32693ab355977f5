"""What the last batches say of the next."""

import pytest

from deployments.batching.forward_time import SAMPLES, ForwardTime


def test_few_batches_say_nothing():
    forward_time = ForwardTime()
    for _ in range(SAMPLES - 1):
        forward_time.record(10, 1.0)
    assert forward_time.estimate(10) == 0
    forward_time.record(10, 1.0)
    assert forward_time.estimate(10) == pytest.approx(1.0)
    assert forward_time.estimate(5) == pytest.approx(0.5)


def test_the_fastest_of_the_last_batches_counts():
    forward_time = ForwardTime()
    for seconds in range(SAMPLES, 0, -1):
        forward_time.record(10, float(seconds))
    assert forward_time.estimate(10) == pytest.approx(1.0)
    for _ in range(SAMPLES):
        forward_time.record(1, 2.0)
    assert forward_time.estimate(10) == pytest.approx(20.0)


def test_a_batch_of_no_cost_is_no_error():
    forward_time = ForwardTime()
    for _ in range(SAMPLES):
        forward_time.record(0, 0.5)
    assert forward_time.estimate(0) == 0
