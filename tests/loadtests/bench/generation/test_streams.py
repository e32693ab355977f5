import math

import pytest

from loadtests.bench.generation.streams import (
    StreamingResult,
    TokenStream,
    inter_token_latencies,
    streaming_latency,
    times_to_first_token,
    tokens_per_cpu_s,
    tokens_per_s,
)


def test_the_time_to_first_token_counts_from_when_a_request_was_due() -> None:
    load = StreamingResult([TokenStream(1.0, 2, [1.5, 1.6]), TokenStream(2.0, 1, [4.0])], ended=4.0)
    assert times_to_first_token(load) == pytest.approx([0.5, 2.0])


def test_a_request_without_a_token_has_waited_until_the_end() -> None:
    load = StreamingResult([TokenStream(1.0, 2, [1.5, 1.6]), TokenStream(2.0, 1)], ended=12.0)
    assert times_to_first_token(load) == pytest.approx([0.5, 10.0])
    assert (streaming_latency(load).without_token, streaming_latency(load).unfinished) == (1, 1)


def test_gaps_lie_within_a_stream_and_never_between_two() -> None:
    load = StreamingResult([TokenStream(0.0, 3, [1.0, 1.1, 1.3]), TokenStream(0.0, 2, [5.0, 5.4])], ended=6.0)
    assert inter_token_latencies(load) == pytest.approx([0.1, 0.2, 0.4])


def test_one_token_has_no_gap() -> None:
    load = StreamingResult([TokenStream(0.0, 1, [1.0])], ended=1.0)
    assert inter_token_latencies(load) == []
    assert math.isnan(streaming_latency(load).gap_p99_ms)


def test_a_stream_that_was_cut_off_has_a_last_gap_until_then() -> None:
    load = StreamingResult([TokenStream(0.0, 4, [1.0, 1.1])], ended=3.1)
    assert inter_token_latencies(load) == pytest.approx([0.1, 2.0])


def test_percentiles_of_gaps_are_over_all_of_them() -> None:
    """One stall of a second in a hundred gaps of 10 ms."""
    times = [index * 0.01 for index in range(100)]
    stalled = [*times, times[-1] + 1.0]
    load = StreamingResult([TokenStream(0.0, len(stalled), stalled)], ended=stalled[-1])
    assert streaming_latency(load).gap_p50_ms == pytest.approx(10)
    assert streaming_latency(load).gap_p99_ms == pytest.approx(10 + 0.01 * 990, rel=1e-6)


def test_tokens_that_arrive_all_at_once_have_no_inter_token_latency() -> None:
    load = StreamingResult([TokenStream(0.0, 3, [2.0, 2.0, 2.0])], ended=2.0)
    assert streaming_latency(load).first_p50_ms == pytest.approx(2000)
    assert math.isnan(streaming_latency(load).gap_p50_ms)


def test_tokens_per_second_end_with_the_last_token() -> None:
    """The time spent on a batch that was cut off does not count."""
    load = StreamingResult([TokenStream(0.0, 4, [2.0] * 4), TokenStream(0.0, 4)], ended=3.9)
    assert tokens_per_s(load) == pytest.approx(2.0)
    assert math.isnan(tokens_per_s(StreamingResult([TokenStream(0.0, 4)], ended=3.0)))


def test_the_warm_up_does_not_count() -> None:
    load = StreamingResult([TokenStream(0.0, 5, [1.0, 2.0, 3.0, 4.0, 5.0])], ended=5.0, cpu_s=1.5, since=2.0)
    assert tokens_per_s(load) == pytest.approx(1.0)
    assert tokens_per_cpu_s(load) == pytest.approx(2.0)


def test_failures_are_counted_by_kind_without_streams_that_were_cut_off() -> None:
    streams = [
        TokenStream(0.0, 2, [1.0]),
        TokenStream(0.0, 1, [1.0, 2.0]),
        TokenStream(0.0, 1, error="503"),
        TokenStream(0, 1, error="503"),
    ]
    assert StreamingResult(streams, ended=2.0).failures == {"too many tokens": 1, "503": 2}
