"""One request on its way through a replica's threads, with a line and a task that are plain classes."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.batching.job import Job
from deployments.contract.task import Prepared
from deployments.errors import (
    DeadlineExceeded,
    ForwardFailed,
    InvalidInput,
    ServiceError,
    TooLarge,
    Unavailable,
)
from deployments.replica.call import Call
from deployments.replica.worker import Worker
from deployments.telemetry.measurements import Answer, BatchReport
from tests.waiting import PATIENCE_S


class Words:
    """A task whose items are words, each a row; reading one may be held up."""

    def __init__(self) -> None:
        self.reads = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def split(self, request: Any) -> list[str]:
        return request.split()

    def preprocess(self, item: str) -> Prepared:
        self.reads.set()
        assert self.goes_on.wait(PATIENCE_S)
        if item == "bad":
            raise InvalidInput("inputs is bad", retry_after=3)
        return Prepared([item], truncated=item == "long")

    def cost(self, row: str) -> int:
        return len(row)

    def postprocess(self, item: str, prepared: Prepared, outputs: Any) -> str:
        if item == "broken":
            raise ZeroDivisionError
        return outputs[0]

    def join(self, request: Any, answers: list[str]) -> str:
        return " ".join(answers)

    def tokens_in(self, prepared: Prepared) -> int:
        return sum(map(len, prepared.rows))

    def pace_of(self, items: Any) -> None:
        return None

    def tokens_of(self, items: Any) -> tuple[int, int]:
        return len(items), 0


class Line:
    """Answers a job in capitals as soon as it is let to, and remembers those that were dropped."""

    def __init__(self) -> None:
        self.waiting: list[Job] = []
        self.cancelled: list[Job] = []
        self.holds = False
        self.full = threading.Event()  # three jobs wait

    def submit(self, *jobs: Job) -> None:
        for job in jobs:
            job.queued()
        self.waiting += jobs
        if len(self.waiting) == 3:
            self.full.set()
        if not self.holds:
            self.run()

    def run(self) -> None:
        for job in self.waiting:
            for index, row in enumerate(job.rows):
                job.set_output(index, row.upper(), BatchReport(1, 1, 0.0, 0.0))
        self.waiting.clear()

    def cancel(self, job: Job, error: BaseException | None = None) -> None:
        self.cancelled.append(job)
        self.waiting.remove(job)
        job.settle(error or Unavailable("cancelled"))


@pytest.fixture
def text() -> Iterator[Worker]:
    worker = Worker("text")
    worker.start()
    yield worker
    worker.stop()


def begin(text: Worker, task: Words, scheduler: Line, request: str, deadline: float = float("inf")) -> Call:
    call = Call(request, task, scheduler, text, str.encode, deadline, 1000)  # type: ignore[arg-type]
    text.submit(call.prepare)
    return call


async def outcome(call: Call) -> Any:
    assert call.future is not None
    try:
        return await asyncio.wait_for(call.future, PATIENCE_S)
    except ServiceError as error:
        return error
    finally:
        call.release()


async def test_an_answer_is_all_items_in_order(text: Worker) -> None:
    answer = await outcome(begin(text, Words(), Line(), "a long b"))
    assert isinstance(answer, Answer)
    assert (answer.body, answer.truncated, answer.tokens) == (b"A LONG B", 1, (3, 0))


async def test_a_bad_item_is_named_and_nothing_goes_in_line(text: Worker) -> None:
    scheduler = Line()
    error = await outcome(begin(text, Words(), scheduler, "a bad"))
    assert isinstance(error, InvalidInput)
    assert (error.message, error.retry_after) == ("inputs[1]: inputs is bad", 3)
    assert (await outcome(begin(text, Words(), scheduler, "bad"))).message == "inputs is bad"
    assert not scheduler.waiting


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ForwardFailed("the model failed on this input"), "inputs[1]: the model failed on this input"),
        (TooLarge("too large alone"), "inputs[1]: too large alone"),
        (Unavailable("the model is shutting down"), "the model is shutting down"),
        (DeadlineExceeded("too late"), "too late"),
    ],
)
async def test_an_item_that_fails_in_the_model_is_named(text: Worker, error: ServiceError, told: str) -> None:
    scheduler = Line()
    scheduler.holds = True
    call = begin(text, Words(), scheduler, "a b c")
    assert await asyncio.to_thread(scheduler.full.wait, PATIENCE_S)
    scheduler.waiting.pop(1).settle(error)
    failed = await outcome(call)
    assert (type(failed), failed.message) == (type(error), told)


async def test_a_mistake_in_an_answer_is_told(text: Worker) -> None:
    call = begin(text, Words(), Line(), "broken")
    assert call.future is not None
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(call.future, PATIENCE_S)


async def test_who_leaves_takes_every_job_out_of_the_line(text: Worker) -> None:
    task, scheduler = Words(), Line()
    scheduler.holds = True
    call = begin(text, task, scheduler, "a b c")
    await asyncio.to_thread(scheduler.full.wait, 10)
    call.fail(Unavailable("the client has gone"))
    call.fail(Unavailable("again"))
    assert len(scheduler.cancelled) == 3
    assert (await outcome(call)).message == "the client has gone"


@pytest.mark.parametrize("words", ["a", "a b c"])
async def test_who_leaves_while_the_request_is_read_leaves_nothing_in_line(text: Worker, words: str) -> None:
    task, scheduler = Words(), Line()
    scheduler.holds = True
    task.goes_on.clear()
    call = begin(text, task, scheduler, words)
    assert await asyncio.to_thread(task.reads.wait, 10)
    call.fail(Unavailable("the client has gone"))
    assert isinstance(await outcome(call), Unavailable)
    task.goes_on.set()
    await asyncio.to_thread(text.stop)
    assert not scheduler.waiting


async def test_a_request_that_is_read_too_late_is_not_read(text: Worker) -> None:
    task = Words()
    error = await outcome(begin(text, task, Line(), "a", deadline=0))
    assert error.status == 504
    assert not task.reads.is_set()


async def test_an_answer_comes_once(text: Worker) -> None:
    """What comes behind it, such as the timer, changes nothing."""
    call = begin(text, Words(), Line(), "a")
    assert call.future is not None
    answer = await asyncio.wait_for(call.future, PATIENCE_S)
    call.expire()
    await asyncio.sleep(0)
    assert call.future.result() is answer
