import threading
from collections.abc import Sequence

import pytest

from loadtests.bench.generation.driver import RequestInFlight, run_open, run_saturated
from loadtests.bench.generation.requests import GenerationRequest


class Immediate:
    """Returns all tokens at once, or never; remembers how many requests were submitted together."""

    def __init__(self, answers: bool = True) -> None:
        self._answers = answers
        self.submitted: list[int] = []
        self.cancelled = 0

    def submit(self, requests: Sequence[RequestInFlight]) -> None:
        self.submitted.append(len(requests))
        if self._answers:
            for each in requests:
                threading.Timer(0.002, each.add_tokens, [each.request.new]).start()

    def cancel(self) -> None:
        self.cancelled += 1

    def close(self) -> None:
        pass


def _requests(*times: float) -> list[GenerationRequest]:
    return [GenerationRequest(at, (5, 6), 3) for at in times]


def test_requests_are_submitted_when_they_are_due() -> None:
    backend = Immediate(answers=False)
    load = run_open(backend, _requests(0.0, 0.01, 0.02), drain_s=0.05)
    assert backend.submitted == [1, 1, 1]
    assert [stream.due for stream in load.streams] == [0.0, 0.01, 0.02]
    assert 0.07 <= load.ended < 20
    assert backend.cancelled == 1


def test_an_open_load_ends_with_its_last_request() -> None:
    load = run_open(Immediate(), _requests(0.0, 0.01), drain_s=60)
    assert load.tokens == 6
    assert load.ended < 30
    assert not load.failures


def test_a_saturated_load_replaces_each_request_that_ends() -> None:
    """Until there is none left; how long the threads take that end them is not ours to say."""
    backend = Immediate()
    load = run_saturated(backend, _requests(*[0.0] * 50), in_flight=4, seconds=60)
    assert backend.submitted == [4, *[1] * 46]
    assert len(load.streams) == 50


def test_a_saturated_load_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtests.bench.generation.driver.FIRST_TOKEN_LIMIT_S", 0.0)
    backend = Immediate(answers=False)
    load = run_saturated(backend, _requests(*[0.0] * 50), in_flight=4, seconds=0.1)
    assert backend.submitted == [4]
    assert load.ended >= 0.1


def test_a_saturated_load_has_a_warm_up() -> None:
    load = run_saturated(Immediate(), _requests(*[0.0] * 10_000), in_flight=4, seconds=1.0, settle_s=0.05)
    assert 0.05 <= load.since < load.ended


def test_a_saturated_load_that_runs_out_of_requests_ends() -> None:
    load = run_saturated(Immediate(), _requests(0.0, 0.0, 0.0), in_flight=2, seconds=0.05)
    assert len(load.streams) == 3


@pytest.mark.parametrize("tokens", [1, 2])
def test_a_failure_counts_once_and_not_behind_the_last_token(tokens: int) -> None:
    ended: list[RequestInFlight] = []
    request = RequestInFlight(GenerationRequest(0.0, (5,), 2), lambda: 1.0, ended.append)
    request.add_tokens(tokens)
    request.fail("too few tokens")
    request.fail("again")
    assert request.stream.error == ("too few tokens" if tokens < 2 else "")
    assert ended == [request]
