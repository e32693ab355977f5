"""Rows that leave the line without an answer of the model."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from deployments.batching.forward_time import SAMPLES, ForwardTime
from deployments.batching.job import Job
from deployments.batching.selection import ArrivalOrder
from deployments.contract.task import Row
from deployments.errors import DeadlineExceeded, Unavailable
from deployments.telemetry.observer import Observer
from tests.deployments.batching.batcher.parts import busy
from tests.waiting import PATIENCE_S


def test_a_cancelled_job_leaves_the_line_at_once(model, caller, started):
    batcher = started()
    first = busy(model, batcher, caller)
    gone, stays = caller.job(1, 2), caller.job(3)
    batcher.submit(gone)
    batcher.submit(stays)
    batcher.cancel(gone)
    assert batcher.waiting == 1
    assert isinstance(gone.error, Unavailable)
    assert caller.answered[gone] == 1  # answered by the caller's own thread, before the model is free
    model.released.set()
    caller.wait(first, stays)
    assert model.batches == [[0], [3]]


def test_a_job_cancelled_while_it_runs_is_answered_once_with_the_given_error(model, caller, started):
    batcher = started()
    running = busy(model, batcher, caller)
    batcher.cancel(running, DeadlineExceeded("too late"))
    model.released.set()
    later = caller.job(5)
    batcher.submit(later)
    caller.wait(later)
    assert isinstance(running.error, DeadlineExceeded)
    assert caller.answered[running] == 1
    batcher.cancel(later)
    assert later.error is None
    assert caller.answered[later] == 1


def test_an_expired_job_never_reaches_the_model(model, caller, started):
    batcher = started()
    first = busy(model, batcher, caller)
    late, fresh = caller.job(1, deadline=time.monotonic() + 0.02), caller.job(2, deadline=time.monotonic() + 60)
    batcher.submit(late)
    batcher.submit(fresh)
    time.sleep(0.05)
    model.released.set()
    caller.wait(first, late, fresh)
    assert isinstance(late.error, DeadlineExceeded)
    assert model.batches == [[0], [2]]


def test_a_line_of_nothing_but_expired_jobs_does_not_end_the_thread(model, caller, started):
    batcher = started()
    late = caller.job(1, deadline=time.monotonic() - 1)
    batcher.submit(late)
    caller.wait(late)
    after = caller.job(2)
    batcher.submit(after)
    caller.wait(after)
    assert model.batches == [[2]]


@pytest.fixture
def forward_time() -> ForwardTime:
    """A batch takes at least 50 ms for each of its rows."""

    class Estimate(ForwardTime):
        def estimate(self, cost: int) -> float:
            return 0.05 * cost

    return Estimate()


def test_a_row_that_its_batch_would_make_late_is_not_run_and_its_neighbours_are(model, caller, started, forward_time):
    dropped: Counter[str] = Counter()
    observer = Observer()
    observer.dropped = lambda reason, rows: dropped.update({reason: rows})  # type: ignore[method-assign]
    batcher = started(forward_time=forward_time, observer=observer)
    first = busy(model, batcher, caller)
    late = caller.job(1, 2, deadline=time.monotonic() + 2)
    neighbours = [caller.job(value, deadline=time.monotonic() + 60) for value in range(3, 45)]
    for job in (late, *neighbours):
        batcher.submit(job)
    model.released.set()
    caller.wait(first, late, *neighbours)
    assert isinstance(late.error, DeadlineExceeded)
    assert [job.outputs for job in neighbours] == [[value * 10] for value in range(3, 45)]
    assert model.batches == [[0], list(range(3, 45))]
    assert dropped == {"expired": 2}


def test_the_same_row_is_in_time_in_a_small_batch(model, caller, started, forward_time):
    batcher = started(forward_time=forward_time)
    first = busy(model, batcher, caller)
    tight = caller.job(1, 2, deadline=time.monotonic() + 2)
    batcher.submit(tight)
    model.released.set()
    caller.wait(first, tight)
    assert tight.outputs == [10, 20]


def test_where_all_of_a_batch_are_late_the_next_in_line_are_run(model, caller, started, forward_time):
    batcher = started(ArrivalOrder(1000, 3), forward_time=forward_time)
    first = busy(model, batcher, caller)
    late = [caller.job(value, deadline=time.monotonic() + 0.1) for value in (1, 2, 3, 4)]
    fresh = [caller.job(value, deadline=time.monotonic() + 60) for value in (5, 6, 7, 8)]
    for job in (*late, *fresh):
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *late, *fresh)
    assert all(isinstance(job.error, DeadlineExceeded) for job in late)
    assert model.batches == [[0], [5, 6, 7], [8]]


def test_batches_are_what_the_estimate_is_made_of(model, caller, started):
    forward_time = ForwardTime()
    batcher = started(forward_time=forward_time)
    for value in range(SAMPLES):
        assert forward_time.estimate(100) == 0
        batcher.submit(job := caller.job(value))
        caller.wait(job)
    assert 0 < forward_time.estimate(1) < 1


def test_stop_answers_what_waits_and_lets_the_running_batch_finish(model, caller, started):
    batcher = started()
    running = busy(model, batcher, caller)
    waiting = [caller.job(value, value) for value in (1, 2)]
    for job in waiting:
        batcher.submit(job)
    stopping = threading.Thread(target=batcher.stop)
    stopping.start()
    caller.wait(*waiting)
    assert all(isinstance(job.error, Unavailable) for job in waiting)
    assert not caller.answered[running]
    model.released.set()
    stopping.join(PATIENCE_S)
    caller.wait(running)
    assert running.outputs == [0]
    assert not batcher.is_alive
    late = caller.job(3)
    batcher.submit(late)
    assert isinstance(late.error, Unavailable)
    assert set(caller.answered.values()) == {1}
    assert model.batches == [[0]]


@pytest.mark.parametrize("seed", range(4))
def test_every_job_is_answered_exactly_once_under_races(caller, started, seed):
    """Threads submit, cancel and let expire while a forward now and then fails; then the batcher is stopped."""

    def forward(rows: Sequence[Row], params: Any) -> list[Any]:
        values = [row.inputs["value"] for row in rows]
        if any(value % 17 == 0 for value in values):
            raise MemoryError if len(values) % 2 else RuntimeError("no")
        return [value * 10 for value in values]

    batcher = started(ArrivalOrder(20, 8), forward=forward)
    jobs: list[Job] = []

    def client(number: int) -> None:
        random = Random(seed * 100 + number)
        for _ in range(150):
            values = [random.randrange(1, 1000) for _ in range(random.randrange(1, 5))]
            deadline = time.monotonic() + random.choice([-1, 0, 0.001, 60, 60, 60])
            job = caller.job(*values, params=random.randrange(2), deadline=deadline)
            jobs.append(job)
            batcher.submit(job)
            if random.random() < 0.3:
                batcher.cancel(job)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    if seed % 2:
        time.sleep(0.01)
        batcher.stop()
    for thread in threads:
        thread.join(PATIENCE_S)
    caller.wait(*jobs)
    batcher.stop()
    assert len(caller.answered) == len(jobs) == 900
    assert set(caller.answered.values()) == {1}
    assert batcher.waiting == 0
    for job in jobs:
        if job.error is None:
            assert job.outputs == [row.inputs["value"] * 10 for row in job.rows]
