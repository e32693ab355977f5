import pytest

from loadtests.bench.measurement import Measurement, measurement, median_of, passes_around
from loadtests.load.results import LoadResult, RequestResult


def requests(*outcomes: str) -> list[RequestResult]:
    """They take 0.1, 0.2, 0.3 seconds and so on."""
    return [RequestResult(0, 0, (number + 1) / 10, outcome) for number, outcome in enumerate(outcomes)]


def test_latency_and_cpu_time_are_per_answered_request() -> None:
    result = LoadResult(
        requests=requests("200", "200", "200", "429", "TimeoutError", "TimeoutError"),
        headers={"x-batch-size": ["4", "8"], "x-padding-ratio": [], "server-timing": ["queue;dur=1.5, forward;dur=20"]},
        wall_s=1.5,
    )
    done = measurement(result, cpu_s=0.6, thread_s=0.3)
    assert done.requests_per_s == 2
    assert done.p50_ms == pytest.approx(200)
    assert (done.cpu_ms, done.thread_ms) == (pytest.approx(200), pytest.approx(100))
    assert (done.batch_rows, done.padding) == (6, None)
    assert (done.queue_ms, done.forward_ms) == (1.5, 20)
    assert done.failures == {"429": 1, "TimeoutError": 2}
    assert done.failed == 3


def test_each_batch_counts_once_as_busy() -> None:
    timings = ["queue;dur=0, forward;dur=200"] * 4 + ["queue;dur=0, forward;dur=300"] * 2
    headers = {"server-timing": timings, "x-batch-size": ["4"] * 4 + ["2"] * 2}
    done = measurement(LoadResult(requests=requests(*["200"] * 6), headers=headers, wall_s=1), cpu_s=0, thread_s=0)
    assert done.busy == pytest.approx(0.5)


def test_the_median_of_rounds_is_that_of_each_value() -> None:
    rounds = [Measurement(rate, 1, 2, 3, 3, padding=None, failures={"500": 1}) for rate in (10, 30, 11)]
    assert median_of(rounds) == Measurement(11, 1, 2, 3, 3, padding=None, failures={"500": 3})


def test_a_load_is_between_two_offline_passes_of_its_round() -> None:
    passes = ["a0", "a1", "a2", "b0", "b1", "b2"]  # two rounds of two loads
    around = [list(passes_around(passes, load, loads=2)) for load in range(4)]
    assert around == [["a0", "a1"], ["a1", "a2"], ["b0", "b1"], ["b1", "b2"]]
