"""Call: one request on its way through a replica's threads.

    event loop            text thread            model thread           text thread          event loop
    predict  ──submit──▶  prepare  ──jobs──▶  batches, forward  ──▶  finish (render)  ──▶  the future's result

Each arrow hands the request to another thread; the event loop is woken once.
"""

import asyncio
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

from deployments.batching.job import Job
from deployments.batching.scheduler import Scheduler
from deployments.contract.task import Prepared, Task
from deployments.errors import DeadlineExceeded, InvalidInput, ServiceError, TooLarge, Unavailable
from deployments.replica.worker import Worker
from deployments.telemetry.measurements import Answer

if TYPE_CHECKING:
    from deployments.telemetry.tracing.call_trace import CallTrace

Render = Callable[[Any], bytes]

MAX_ROWS = 4096  # of one request; a larger client batch or longer text would delay all other requests


class Call:
    """One request. Created on the event loop; `prepare` and `finish` run on the text thread.

    Args:
        request: of the task, or a client batch.
        task: loaded.
        scheduler: of its rows.
        text: the text threads.
        render: turns the answer into bytes.
        deadline: on `time.monotonic()`'s clock.
        max_tokens: of all its inputs.

    Attributes:
        future: its answer; None after `release`.
        trace: None if the request is not traced.
    """

    def __init__(
        self,
        request: Any,
        task: Task[Any, Any],
        scheduler: Scheduler,
        text: Worker,
        render: Render,
        deadline: float,
        max_tokens: int,
    ) -> None:
        self._request = request
        self._task = task
        self._scheduler = scheduler
        self._text = text
        self._render = render
        self._deadline = deadline
        self._max_tokens = max_tokens
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Answer] | None = self._loop.create_future()
        self._lock = threading.Lock()
        self._failed = False
        self._pending = 0
        self._items: list[Any] = []
        self._prepared: list[Prepared] = []
        self._jobs: list[Job] = []
        self._preprocess_s = 0.0
        self.trace: CallTrace | None = None

    def prepare(self) -> None:
        """Text thread: preprocess the items and queue their rows."""
        if self._failed:
            return
        began = time.monotonic()
        try:
            if began > self._deadline:
                raise DeadlineExceeded("the request's time ran out while it waited to be preprocessed")
            self._items = self._task.split(self._request)
            if not self._items:
                raise InvalidInput("inputs is an empty list")
            self._check()
            self._read()
        except Exception as error:
            if self.trace is not None:
                self.trace.preprocess_failed(began, error)
            self.fail(error)
            return
        self._preprocess_s = time.monotonic() - began
        self._jobs = [self._job(prepared) for prepared in self._prepared]
        self._pending = len(self._jobs)
        if self.trace is not None:
            self.trace.prepared(began, self._jobs)
        if not self._jobs:
            self.finish()
        self._scheduler.submit(*self._jobs)  # at once, or the model would begin with the first alone
        if self._failed:  # cancelled in the meantime; `fail` did not see these jobs in the queue
            for job in self._jobs:
                self._scheduler.cancel(job)

    def finish(self) -> None:
        """Text thread: postprocess the outputs and render the answer."""
        if self._failed:
            return
        began = time.monotonic()
        try:
            answer = self._answer(self._render(self._task.join(self._request, self._answers())), began)
            if self.trace is not None:
                self.trace.answered(self._jobs, answer, began)
            self._finished(answer)
        except Exception as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Any thread: answer with an error, unless answered; drop rows that still wait."""
        with self._lock:
            if self._failed:
                return
            self._failed = True
        if self.trace is not None:
            self.trace.failed(self._jobs, error)
        clear_frames(error)
        for job in self._jobs:
            if not job.is_settled:
                self._scheduler.cancel(job, error)
        self._settle(lambda future: future.set_exception(error))

    def expire(self) -> None:
        """Event loop: fail at the deadline."""
        self.fail(DeadlineExceeded("no answer within the request's time"))

    @property
    def is_answered(self) -> bool:
        """Event loop: whether there is an answer, and no error."""
        future = self.future
        return future is not None and future.done() and not future.cancelled() and future.exception() is None

    def release(self) -> None:
        """Event loop: drop all references; an error's traceback may keep this call alive for a while."""
        self._failed = True  # later outputs are ignored
        self.future = None
        self._request = None
        self._items, self._prepared, self._jobs = [], [], []

    def _check(self) -> None:
        """Refuse items that this kind of call cannot answer."""

    def _read(self) -> None:
        """Preprocess every item; the first that is invalid fails the request.

        Raises:
            TooLarge: too many rows or tokens in all.
        """
        rows = tokens = 0
        for index, item in enumerate(self._items):
            prepared = self._preprocess(index, item)
            if prepared is None:
                continue
            self._prepared.append(prepared)
            rows += len(prepared.rows)
            tokens += self._task.tokens_in(prepared)
            if rows > MAX_ROWS:
                raise TooLarge(f"the request has at least {rows:,} rows for the model; the limit is {MAX_ROWS:,}")
            if tokens > self._max_tokens:
                limit = f"the limit of one request is {self._max_tokens:,} (`limits.max_input_tokens`)"
                raise TooLarge(f"inputs has at least {tokens:,} tokens; {limit}")

    def _answers(self) -> list[Any]:
        """Postprocess every item, in order."""
        return [
            self._task.postprocess(item, prepared, job.outputs)
            for item, prepared, job in zip(self._items, self._prepared, self._jobs, strict=True)
        ]

    def _finished(self, answer: Answer) -> None:
        self._settle(lambda future: future.set_result(answer))

    def _answer(self, body: bytes, began: float) -> Answer:
        jobs = self._jobs
        if not jobs:  # no item of a partial answer could be answered
            return Answer(body, 0.0, self._preprocess_s, 0.0, time.monotonic() - began, 0, 0.0, 0, items=0)
        first = min(job.started for job in jobs)
        report = jobs[-1].report
        assert report is not None
        done = [(prepared, job.outputs) for prepared, job in zip(self._prepared, jobs, strict=True)]
        return Answer(
            body=body,
            queue_s=first - jobs[0].submitted,
            preprocess_s=self._preprocess_s,
            forward_s=max(job.finished for job in jobs) - first,
            postprocess_s=time.monotonic() - began,
            batch_rows=report.rows,
            padding_ratio=report.padding_ratio,
            truncated=sum(prepared.truncated for prepared in self._prepared),
            tokens=self._task.tokens_of(done),
            items=len(done),
            pace=self._task.pace_of(done),
        )

    def _preprocess(self, index: int, item: Any) -> Prepared | None:
        """The rows of one item; None if the request continues without it."""
        try:
            return self._task.preprocess(item)
        except ServiceError as error:
            if len(self._items) > 1:
                raise _named(index, error) from error
            raise

    def _job(self, prepared: Prepared) -> Job:
        return job_of(self._task, prepared, self._job_done, self._deadline)

    def _tolerates(self, error: BaseException) -> bool:
        """Whether the request continues without an item that failed in the model."""
        return False

    def _job_done(self, job: Job) -> None:
        """Model thread (or whoever cancelled): one item has its outputs, or has failed."""
        if job.error is not None and not self._tolerates(job.error):
            self.fail(self._error_of(job, job.error))
            return
        with self._lock:
            self._pending -= 1
            if self._pending:
                return
        self._text.submit(self.finish)

    def _error_of(self, job: Job, error: BaseException) -> BaseException:
        """A job's error as the request's; in a client batch, the error of one input names it."""
        jobs = self._jobs  # empty after `release`
        return _named(jobs.index(job), error) if len(jobs) > 1 and is_of_one_item(error) else error

    def _settle(self, set_outcome: Callable[["asyncio.Future[Answer]"], None]) -> None:
        def settle() -> None:
            future = self.future
            if future is not None and not future.done():  # the client may have gone
                set_outcome(future)

        self._on_loop(settle)

    def _on_loop(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: no caller waits
            return


def is_of_one_item(error: BaseException) -> TypeGuard[ServiceError]:
    """Whether an error that the caller is told concerns one item, and not the whole request."""
    return isinstance(error, ServiceError) and not isinstance(error, DeadlineExceeded | Unavailable)


def _named(index: int, error: ServiceError) -> ServiceError:
    """The error of an item in a client batch."""
    return type(error)(f"inputs[{index}]: {error.message}", retry_after=error.retry_after)


def job_of(
    task: Task[Any, Any], prepared: Prepared, done: Callable[[Job], None], deadline: float = float("inf")
) -> Job:
    """The job of one preprocessed item."""
    costs = [task.cost(row) for row in prepared.rows]
    return Job(prepared.rows, costs, prepared.params, done=done, deadline=deadline)


def clear_frames(error: BaseException | None) -> None:
    """Clear the frames of an error's traceback: they would keep decoded media until the next garbage collection."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
