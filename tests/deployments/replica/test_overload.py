"""What a replica does with more than it can answer: refuse at once, drop what is late, go on as before."""

import asyncio
import threading
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import Any

import pytest

from deployments.batching.drain_rate import DrainRate
from deployments.batching.selection import ArrivalOrder, Selection
from deployments.config import Batching, ModelConfig
from deployments.contract.task import Prepared, Row
from deployments.errors import DeadlineExceeded, Overloaded
from deployments.layouts.text import Layout
from deployments.replica.limits import ReplicaLimits
from deployments.replica.replica import Replica
from loadtests.bench.servers.noop_task import NoLayout, NoOp, Request
from tests.checkpoints import small_checkpoint
from tests.waiting import until_async

AT_ONCE = 4
LONG_S = 60.0


class FewRows(NoLayout):
    def selection(self, batching: Batching, device: str) -> Selection:
        return ArrivalOrder(max_cost=1 << 30, max_rows=AT_ONCE)


class Held(NoOp):
    """Its model runs a batch of `AT_ONCE` rows whenever it is let, and remembers the texts."""

    let = threading.Semaphore(0)
    seen: list[str] = []

    def preprocess(self, request: Request) -> Prepared:
        return Prepared([Row({"text": request.inputs}, 1)])

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        self.let.acquire(timeout=LONG_S)
        self.seen.extend(row.inputs["text"] for row in rows)
        return [0] * len(rows)

    def layouts(self) -> Sequence[Layout]:
        return [FewRows(self.checkpoint.model)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Replica:
    folder = small_checkpoint(tmp_path_factory.mktemp("held"), "bert", "")
    replica = Replica(ModelConfig(model=str(folder), name="held"), Held, limits=ReplicaLimits(max_waiting=40))
    for _ in range(100):
        Held.let.release()  # for the warm-up
    replica.load()
    return replica


@pytest.fixture
async def replica(loaded: Replica) -> AsyncIterator[Replica]:
    """Its model stands still."""
    while Held.let.acquire(blocking=False):
        pass
    Held.seen.clear()
    loaded._drain_rate = DrainRate()
    yield loaded
    for _ in range(1000):
        Held.let.release()
    await until_async(lambda: loaded.in_flight == 0)


async def ask(replica: Replica, text: str = "text", timeout_s: float = LONG_S) -> Any:
    """As an endpoint does."""
    with replica.place(timeout_s):
        return await replica.predict(Request(inputs=text), lambda value: b"answer", timeout_s)


def asked(replica: Replica, count: int, timeout_s: float = LONG_S) -> list["asyncio.Task[Any]"]:
    return [asyncio.create_task(ask(replica, f"text {number}", timeout_s)) for number in range(count)]


def in_model(replica: Replica) -> int:
    assert replica._scheduler is not None
    return replica._scheduler.load.running


def waiting(replica: Replica) -> int:
    assert replica._scheduler is not None
    return replica._scheduler.load.waiting


async def outcomes(tasks: Sequence["asyncio.Task[Any]"]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_beyond_the_places_requests_are_refused_at_once_and_the_others_answered(replica: Replica) -> None:
    tasks = asked(replica, 400)
    await until_async(lambda: sum(task.done() for task in tasks) >= 360)  # although the model stands still
    assert (replica.places, replica.in_flight) == (40, 40)
    for _ in range(100):
        Held.let.release()
    ended = await outcomes(tasks)
    refused = [each for each in ended if isinstance(each, Overloaded)]
    assert (len(refused), refused[0].retry_after) == (360, 1)
    assert [each.body for each in ended if not isinstance(each, Exception)] == [b"answer"] * 40
    assert len(Held.seen) == 40
    assert (replica.places, replica.in_flight) == (0, 0)
    assert (await ask(replica)).body == b"answer"


async def test_what_is_late_never_reaches_the_model(replica: Replica) -> None:
    running = asked(replica, 1)
    await until_async(lambda: in_model(replica))
    late = asked(replica, 10, timeout_s=0.05)
    patient = [asyncio.create_task(ask(replica, f"patient {number}")) for number in range(10)]
    assert all(isinstance(each, DeadlineExceeded) for each in await outcomes(late))
    assert replica.in_flight == 11
    for _ in range(100):
        Held.let.release()
    await outcomes([*running, *patient])
    assert sorted(Held.seen[1:]) == sorted(f"patient {number}" for number in range(10))


async def test_what_is_late_before_it_is_read_never_reaches_the_model(replica: Replica) -> None:
    reading = threading.Event()
    replica._text.submit(lambda: bool(reading.wait(LONG_S)) and None)
    late = asked(replica, 3, timeout_s=0.01)
    assert all(isinstance(each, DeadlineExceeded) for each in await outcomes(late))
    reading.set()
    for _ in range(10):
        Held.let.release()
    await ask(replica, "next")
    assert Held.seen == ["next"]


async def test_a_line_longer_than_the_time_of_a_request_is_not_for_it(replica: Replica) -> None:
    """Four are answered every two seconds; thirty wait: whoever has ten seconds need not even try."""
    clock = Clock()
    replica._drain_rate = DrainRate(clock)
    tasks = asked(replica, 1)
    await until_async(lambda: in_model(replica) == 1)
    tasks += asked(replica, 39)
    await until_async(lambda: waiting(replica) == 39)
    for seconds, answered in ((0.5, 1), (2, 5), (2, 9)):
        clock.now += seconds
        Held.let.release()
        await until_async(lambda: sum(task.done() for task in tasks) == answered and in_model(replica) == AT_ONCE)  # noqa: B023
    clock.now += 0.01
    tasks += asked(replica, 3)
    await until_async(lambda: waiting(replica) == 30)
    with pytest.raises(
        Overloaded, match=r"held has 30 requests waiting, about 15\.0 s; the timeout is 10 s"
    ) as refusal:
        await ask(replica, timeout_s=10)
    assert refusal.value.retry_after == 17  # what is in the model counts as well
    patient = asyncio.create_task(ask(replica, timeout_s=20))
    await until_async(lambda: replica.in_flight == 35)
    for _ in range(100):
        Held.let.release()
    await outcomes([*tasks, patient])
    assert patient.result().body == b"answer"


async def test_who_gets_in_with_those_that_run_next_is_not_refused(replica: Replica) -> None:
    """One is answered every two seconds, because one asks at a time: with a second one, both would be."""
    clock = Clock()
    replica._drain_rate = DrainRate(clock)
    for _ in range(3):
        one = asyncio.create_task(ask(replica))
        await until_async(lambda: in_model(replica))
        clock.now += 2
        Held.let.release()
        await one
        clock.now += 0.01
    first = asyncio.create_task(ask(replica))
    await until_async(lambda: in_model(replica))
    others = asked(replica, 30, timeout_s=LONG_S)
    assert replica._drain_rate.per_second == pytest.approx(0.5)
    await until_async(lambda: replica.in_flight == 31)  # sixty seconds of work for one at a time, which says nothing
    hurried = asyncio.create_task(ask(replica, timeout_s=30))
    await until_async(lambda: replica.in_flight == 32)
    for _ in range(100):
        Held.let.release()
    assert len(await outcomes([first, *others, hurried])) == 32
    assert hurried.result().body == b"answer"


async def test_a_place_is_taken_while_a_request_is_read(replica: Replica) -> None:
    with replica.place(LONG_S):
        assert (replica.places, replica.in_flight) == (1, 0)
        tasks = asked(replica, 40)
        await until_async(lambda: any(task.done() for task in tasks))
        assert isinstance(tasks[-1].exception(), Overloaded)
    last = asyncio.create_task(ask(replica))
    await until_async(lambda: replica.places == 40)
    for _ in range(100):
        Held.let.release()
    await outcomes([*tasks, last])
    assert last.result().body == b"answer"
