"""The queue in front of a model, with a forward that is a plain function."""

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest

from deployments.batcher import Batcher
from deployments.errors import DeadlineExceeded, ForwardFailed, InvalidInput, TooLarge, Unavailable
from deployments.job import BatchReport, Job
from deployments.observer import Observer
from deployments.selection import ArrivalOrder, NearestLength, Selection
from deployments.task import Row


class Reports(Observer):
    """Keeps the reports."""

    def __init__(self, reports: list[BatchReport]) -> None:
        self.batch = reports.append


class Model:
    """A forward that writes down its batches, answers each row's value, and can be held up in the middle."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.params: list[Any] = []
        self.entered = threading.Event()
        self.released = threading.Event()
        self.released.set()
        self.fail: Callable[[list[Any]], None] = lambda values: None

    def __call__(self, rows: Sequence[Row], params: Any) -> list[Any]:
        values = [row.inputs["value"] for row in rows]
        self.batches.append(values)
        self.params.append(params)
        self.entered.set()
        assert self.released.wait(10)
        self.fail(values)
        return [value * 10 for value in values]

    def hold(self) -> None:
        self.released.clear()
        self.entered.clear()


class Caller:
    """Makes jobs and counts how often each was answered."""

    def __init__(self) -> None:
        self.answered: Counter[Job] = Counter()
        self._changed = threading.Condition()

    def job(self, *values: int, length: int = 1, params: Any = None, deadline: float = float("inf")) -> Job:
        rows = [Row({"value": value}, length) for value in values]
        return Job(rows, [length] * len(rows), params, self._done, deadline)

    def _done(self, job: Job) -> None:
        with self._changed:
            self.answered[job] += 1
            self._changed.notify_all()

    def wait(self, *jobs: Job, timeout: float = 10) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: all(self.answered[job] for job in jobs), timeout), "no answer"


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def started(model: Model) -> Iterator[Callable[..., Batcher]]:
    """`started(selection, …)`: a running batcher in front of the model."""
    made: list[Batcher] = []

    def start(selection: Selection | None = None, **options: Any) -> Batcher:
        batcher = Batcher(options.pop("forward", model), selection or ArrivalOrder(1000, 100), **options)
        made.append(batcher)
        batcher.start()
        return batcher

    yield start
    model.released.set()
    for batcher in made:
        batcher.stop()


def busy(model: Model, batcher: Batcher, caller: Caller) -> Job:
    """Occupy the model with a first job, so that what follows waits in line."""
    model.hold()
    first = caller.job(0)
    batcher.submit(first)
    assert model.entered.wait(10)
    return first


def test_a_free_model_takes_a_row_at_once(model, caller, started):
    job = caller.job(1, 2)
    batcher = started()
    batcher.submit(job)
    caller.wait(job)
    assert job.outputs == [10, 20]
    assert job.error is None
    assert job.submitted <= job.started <= job.finished
    assert job.report == BatchReport(2, 2, 0.0, job.report.forward_s)


def test_what_arrives_while_the_model_is_busy_runs_together_in_arrival_order(model, caller, started):
    batcher = started()
    first = busy(model, batcher, caller)
    jobs = [caller.job(value) for value in range(1, 9)]
    for job in jobs:
        batcher.submit(job)
    assert batcher.waiting == 8
    model.released.set()
    caller.wait(first, *jobs)
    assert model.batches == [[0], [1, 2, 3, 4, 5, 6, 7, 8]]
    assert [job.outputs for job in jobs] == [[value * 10] for value in range(1, 9)]
    assert batcher.waiting == 0


@pytest.mark.parametrize(
    ("selection", "batches"),
    [
        (ArrivalOrder(1000, 3), [[1, 2, 3], [4, 5, 6], [7]]),
        (ArrivalOrder(8, 100), [[1, 2], [3, 4], [5, 6], [7]]),
        (ArrivalOrder(1, 100), [[1], [2], [3], [4], [5], [6], [7]]),
    ],
    ids=["max_rows", "max_cost", "each above the budget"],
)
def test_batches_keep_to_their_limits(model, caller, started, selection, batches):
    batcher = started(selection)
    first = busy(model, batcher, caller)
    jobs = [caller.job(value, length=4) for value in range(1, 8)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert model.batches[1:] == batches


def test_params_never_mix(model, caller, started):
    batcher = started()
    first = busy(model, batcher, caller)
    jobs = [caller.job(value, params=value % 3) for value in range(1, 10)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert model.batches[1:] == [[1, 4, 7], [2, 5, 8], [3, 6, 9]]
    assert model.params[1:] == [1, 2, 0]


def test_near_lengths_run_together_and_the_report_says_how_much_was_padding(model, caller, started):
    reports: list[BatchReport] = []
    batcher = started(
        NearestLength(1000, 100, 0.1),
        padding=lambda lengths: 1 - sum(lengths) / (max(lengths) * len(lengths)),
        observer=Reports(reports),
    )
    first = busy(model, batcher, caller)
    jobs = [caller.job(length, length=length) for length in (10, 50, 11, 49)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert [sorted(batch) for batch in model.batches[1:]] == [[10, 11], [49, 50]]
    assert [job.outputs for job in jobs] == [[100], [500], [110], [490]]
    assert [(report.rows, report.cost) for report in reports] == [(1, 1), (2, 21), (2, 99)]
    assert reports[1].padding_ratio == pytest.approx(1 / 22)
    assert jobs[0].report is reports[1]


def test_rows_of_one_job_may_run_in_several_batches(model, caller, started):
    job = caller.job(1, 2, 3, 4, 5)
    batcher = started(ArrivalOrder(1000, 2))
    first = busy(model, batcher, caller)
    batcher.submit(job)
    model.released.set()
    caller.wait(first, job)
    assert model.batches[1:] == [[1, 2], [3, 4], [5]]
    assert job.outputs == [10, 20, 30, 40, 50]
    assert caller.answered[job] == 1


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


def test_a_failing_row_is_found_by_splitting_and_its_neighbours_are_answered(model, caller, started):
    def fail(values: list[int]) -> None:
        if 5 in values:
            raise RuntimeError("five is right out")

    model.fail = fail
    batcher = started()
    first = busy(model, batcher, caller)
    jobs = [caller.job(value) for value in range(1, 9)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert [job.outputs for job in jobs if job.error is None] == [[v * 10] for v in range(1, 9) if v != 5]
    assert isinstance(jobs[4].error, ForwardFailed)
    assert "five" not in jobs[4].error.message  # what the model said stays in the log
    assert len(model.batches) == 1 + 7  # halves, not one by one: 8, 4+4, 2+2, 1+1
    assert batcher.selection.max_cost == 1000


def test_all_rows_of_a_failing_job_are_dropped(model, caller, started):
    def fail(values: list[int]) -> None:
        if 1 in values:
            raise RuntimeError("no")

    model.fail = fail
    batcher = started(ArrivalOrder(1000, 1))
    first = busy(model, batcher, caller)
    job = caller.job(1, 2, 3)
    batcher.submit(job)
    model.released.set()
    caller.wait(first, job)
    last = caller.job(4)
    batcher.submit(last)
    caller.wait(last)
    assert model.batches == [[0], [1], [4]]
    assert caller.answered[job] == 1


def test_an_error_meant_for_the_caller_arrives_as_it_is(model, caller, started):
    def fail(values: list[int]) -> None:
        if 2 in values:
            raise InvalidInput("two is not a possible input")

    model.fail = fail
    batcher = started()
    job, neighbour = caller.job(2), caller.job(3)
    first = busy(model, batcher, caller)
    batcher.submit(job)
    batcher.submit(neighbour)
    model.released.set()
    caller.wait(first, job, neighbour)
    assert isinstance(job.error, InvalidInput)
    assert job.error.message == "two is not a possible input"
    assert neighbour.outputs == [30]


def test_out_of_memory_halves_the_budget_once_a_batch(model, caller, started):
    def fail(values: list[int]) -> None:
        if len(values) > 2:
            raise MemoryError

    model.fail = fail
    batcher = started(ArrivalOrder(64, 100))
    first = busy(model, batcher, caller)
    jobs = [caller.job(value, length=4) for value in range(1, 17)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert all(job.error is None for job in jobs)
    assert [len(batch) for batch in model.batches[1:]] == [16, 8, 4, 2, 2, 4, 2, 2, 8, 4, 2, 2, 4, 2, 2]
    assert batcher.selection.max_cost == 32


def test_a_row_that_alone_needs_too_much_memory_is_refused_and_hurts_nobody(model, caller, started):
    def fail(values: list[int]) -> None:
        if 3 in values:
            raise MemoryError

    model.fail = fail
    batcher = started(ArrivalOrder(64, 100))
    first = busy(model, batcher, caller)
    jobs = [caller.job(value) for value in range(1, 9)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert [type(job.error) for job in jobs if job.error is not None] == [TooLarge]
    assert isinstance(jobs[2].error, TooLarge)
    assert batcher.selection.max_cost == 32  # not halved again at every split


def test_the_memory_of_a_failed_batch_is_free_before_its_halves_run(caller, started):
    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def forward(rows: Sequence[Row], params: Any) -> list[Any]:
        alive.append(any(tensor() is not None for tensor in held))
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        if len(rows) > 1:
            raise MemoryError
        return [row.inputs["value"] for row in rows]

    job = caller.job(1, 2, 3, 4)
    started(forward=forward).submit(job)
    caller.wait(job)
    assert job.outputs == [1, 2, 3, 4]
    assert alive == [False] * 7


@pytest.mark.parametrize("outputs", [[], [1], [1, 2, 3]], ids=["none", "too few", "too many"])
def test_a_wrong_number_of_outputs_is_an_error_and_no_answer(caller, started, outputs):
    job = caller.job(1, 2)
    batcher = started(forward=lambda rows, params: outputs if len(rows) == 2 else [9] * (len(rows) + 1))
    batcher.submit(job)
    caller.wait(job)
    assert isinstance(job.error, ForwardFailed)


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
    stopping.join(10)
    caller.wait(running)
    assert running.outputs == [0]
    assert not batcher.is_alive
    late = caller.job(3)
    batcher.submit(late)
    assert isinstance(late.error, Unavailable)
    assert set(caller.answered.values()) == {1}
    assert model.batches == [[0]]


def test_busy_since_tells_a_running_forward(model, caller, started):
    batcher = started()
    assert batcher.busy_since is None
    first = busy(model, batcher, caller)
    assert batcher.busy_since is not None
    assert batcher.busy_since <= time.monotonic()
    model.released.set()
    caller.wait(first)
    assert batcher.busy_since is None


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
        thread.join(30)
    caller.wait(*jobs)
    batcher.stop()
    assert len(caller.answered) == len(jobs) == 900
    assert set(caller.answered.values()) == {1}
    assert batcher.waiting == 0
    for job in jobs:
        if job.error is None:
            assert job.outputs == [row.inputs["value"] * 10 for row in job.rows]
