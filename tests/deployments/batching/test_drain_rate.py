import math
from collections.abc import Iterable

import pytest

from deployments.batching.drain_rate import MAX_RETRY_S, DrainRate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drain(clock: Clock) -> DrainRate:
    return DrainRate(clock)


def enter(drain: DrainRate, count: int) -> None:
    for _ in range(count):
        drain.enter()


def callers(drain: DrainRate, clock: Clock, *, batch: int, every_s: float, batches: int, spread_s: float = 0.0) -> None:
    """Batches get done at once, every so many seconds; each caller asks again as soon as it is answered."""
    for _ in range(batches):
        clock.now += every_s - batch * spread_s
        for _ in range(batch):
            clock.now += spread_s
            drain.leave(done=True)
            drain.enter()


def one_after_another(drain: DrainRate, clock: Clock, seconds: Iterable[float]) -> None:
    for each in seconds:
        drain.enter()
        clock.now += each
        drain.leave(done=True)


def test_nothing_is_known_at_first(drain: DrainRate) -> None:
    enter(drain, 100)
    assert drain.per_second is None
    assert drain.seconds_for(1) is None
    assert not drain.is_measured_for(1)
    assert drain.retry_after() == 1


@pytest.mark.parametrize("spread_s", [0.0, 0.0002])
@pytest.mark.parametrize(("batch", "every_s", "under_way"), [(1, 0.01, 512), (32, 0.3, 64), (32, 0.3, 512), (8, 4, 64)])
def test_bursts_count_with_the_time_that_they_took(
    drain: DrainRate, clock: Clock, batch: int, every_s: float, under_way: int, spread_s: float
) -> None:
    enter(drain, under_way)
    callers(drain, clock, batch=batch, every_s=every_s, batches=max(10, round(10 / every_s)), spread_s=spread_s)
    clock.now += every_s / 2
    assert drain.per_second == pytest.approx(batch / every_s, rel=0.05)
    assert drain.retry_after() == pytest.approx(math.ceil(under_way * every_s / batch), abs=1)


def test_the_first_burst_counts_as_a_whole(drain: DrainRate, clock: Clock) -> None:
    """The first answer of a batch must not stand for the time of all of it."""
    enter(drain, 100)
    seen = set()
    clock.now += 3
    for _ in range(30):
        clock.now += 0.0003
        drain.leave(done=True)
        seen.add(drain.per_second)
    assert seen == {None}
    clock.now += 0.01
    assert drain.per_second is None  # a window ends with the next that comes or goes
    drain.enter()
    assert drain.per_second == pytest.approx(10, rel=0.02)


def test_idle_time_counts_nowhere(drain: DrainRate, clock: Clock) -> None:
    enter(drain, 64)
    callers(drain, clock, batch=32, every_s=0.3, batches=20)
    for _ in range(64):
        drain.leave(done=False)
    before = drain.per_second
    assert before == pytest.approx(107, rel=0.1)
    clock.now += 86400
    assert drain.per_second == pytest.approx(before)
    enter(drain, 200)
    assert drain.retry_after() == 2


def test_a_short_line_is_no_guess_for_a_long_one(drain: DrainRate, clock: Clock) -> None:
    one_after_another(drain, clock, [0.2] * 100)
    assert drain.per_second == pytest.approx(5)
    assert drain.is_measured_for(4)
    enter(drain, 512)
    assert not drain.is_measured_for(512)
    assert drain.seconds_for(512) is None
    assert drain.retry_after() == 1  # not 512 / 5


def test_one_batch_of_a_long_line_outweighs_minutes_with_a_short_one(drain: DrainRate, clock: Clock) -> None:
    one_after_another(drain, clock, [0.2] * 1000)
    enter(drain, 512)
    callers(drain, clock, batch=32, every_s=0.3, batches=1)
    clock.now += 0.01
    drain.enter()
    assert drain.is_measured_for(512)
    assert drain.per_second == pytest.approx(100, rel=0.2)


def test_it_follows_a_change_of_the_work_within_seconds(drain: DrainRate, clock: Clock) -> None:
    enter(drain, 300)
    callers(drain, clock, batch=16, every_s=0.1, batches=100)
    callers(drain, clock, batch=16, every_s=1.0, batches=15)
    assert drain.per_second == pytest.approx(16, rel=0.3)


def test_where_nothing_gets_done_any_more_the_rate_falls(drain: DrainRate, clock: Clock) -> None:
    enter(drain, 100)
    callers(drain, clock, batch=10, every_s=0.1, batches=100)
    clock.now += 60
    rate = drain.per_second
    assert rate is not None
    assert rate < 10


def test_what_is_given_up_is_not_done(drain: DrainRate, clock: Clock) -> None:
    """Requests that expire leave the line, too; they are no sign of its speed."""
    enter(drain, 100)
    for _ in range(100):
        clock.now += 0.1
        drain.leave(done=True)
        enter(drain, 10)
        for _ in range(9):
            drain.leave(done=False)
    assert drain.in_progress == 100
    assert drain.per_second == pytest.approx(10, rel=0.1)


def test_streams_get_done_one_by_one(drain: DrainRate, clock: Clock) -> None:
    """Sixteen at a time, each for four seconds, in turn: four get done a second."""
    enter(drain, 80)
    callers(drain, clock, batch=1, every_s=0.25, batches=80)
    assert drain.per_second == pytest.approx(4, rel=0.1)
    assert drain.retry_after() == pytest.approx(20, abs=2)


def test_slow_work_is_not_forgotten_after_one(drain: DrainRate, clock: Clock) -> None:
    """Where one takes longer than the memory lasts, a few still count."""
    enter(drain, 8)
    for seconds in (5, 15, 5, 15, 5, 15, 5, 15):
        callers(drain, clock, batch=1, every_s=seconds, batches=1)
    assert drain.per_second == pytest.approx(0.1, rel=0.2)


def test_retry_after_has_an_end(drain: DrainRate, clock: Clock) -> None:
    enter(drain, 512)
    callers(drain, clock, batch=1, every_s=1, batches=40)
    assert drain.retry_after() == MAX_RETRY_S


def test_other_units(drain: DrainRate, clock: Clock) -> None:
    for _ in range(20):
        drain.enter(5e6)
    for _ in range(40):
        clock.now += 0.5
        drain.leave(5e6, done=True)
        drain.enter(5e6)
    assert drain.in_progress == 1e8
    assert drain.per_second == pytest.approx(1e7, rel=0.1)
    assert drain.seconds_for(1e8) == pytest.approx(10, rel=0.1)
