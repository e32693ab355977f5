import threading
from collections.abc import Sequence

import pytest

from loadtests.bench.generation.driver import Track, run_open, run_saturated
from loadtests.bench.generation.requests import Wanted


class Immediate:
    """Answers at once, or never; remembers how many were under way."""

    def __init__(self, answers: bool = True) -> None:
        self._answers = answers
        self.submitted: list[int] = []
        self.cleared = 0

    def submit(self, tracks: Sequence[Track]) -> None:
        self.submitted.append(len(tracks))
        if self._answers:
            for track in tracks:
                threading.Timer(0.002, track.hear, [track.wanted.new]).start()

    def clear(self) -> None:
        self.cleared += 1

    def close(self) -> None:
        pass


def _wanted(*moments: float) -> list[Wanted]:
    return [Wanted(at, (5, 6), 3) for at in moments]


def test_requests_come_when_they_are_due_whatever_became_of_the_others() -> None:
    contender = Immediate(answers=False)
    load = run_open(contender, _wanted(0.0, 0.01, 0.02), drain_s=0.05)
    assert contender.submitted == [1, 1, 1]
    assert [stream.due for stream in load.streams] == [0.0, 0.01, 0.02]
    assert 0.07 <= load.ended < 20
    assert contender.cleared == 1


def test_it_ends_as_soon_as_all_is_answered() -> None:
    load = run_open(Immediate(), _wanted(0.0, 0.01), drain_s=60)
    assert load.tokens == 6
    assert load.ended < 30
    assert not load.failures


def test_a_saturated_load_replaces_each_that_is_over() -> None:
    contender = Immediate()
    load = run_saturated(contender, _wanted(*[0.0] * 10_000), under_way=4, seconds=0.1)
    assert contender.submitted[0] == 4
    assert set(contender.submitted[1:]) == {1}
    assert len(load.streams) == sum(contender.submitted)
    assert 0.1 <= load.ended < 20


def test_a_saturated_load_says_when_it_had_settled() -> None:
    load = run_saturated(Immediate(), _wanted(*[0.0] * 10_000), under_way=4, seconds=1.0, settle_s=0.05)
    assert 0.05 <= load.since < load.ended


def test_a_saturated_load_that_runs_out_of_requests_ends() -> None:
    load = run_saturated(Immediate(), _wanted(0.0, 0.0, 0.0), under_way=2, seconds=0.05)
    assert len(load.streams) == 3


@pytest.mark.parametrize("tokens", [1, 2])
def test_a_failure_counts_once_and_not_behind_the_last_token(tokens: int) -> None:
    over: list[Track] = []
    track = Track(Wanted(0.0, (5,), 2), lambda: 1.0, over.append)
    track.hear(tokens)
    track.fail("too few tokens")
    track.fail("again")
    assert track.stream.error == ("too few tokens" if tokens < 2 else "")
    assert over == [track]
