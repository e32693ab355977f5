"""Replica: one loaded model with its text and model threads. Ready once it answers its own example. No Ray, no HTTP."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from deployments.batching.drain_rate import DrainRate
from deployments.batching.scheduler import Scheduler
from deployments.checkpoints.facts import facts_of
from deployments.config import Health, ModelConfig
from deployments.contract.task import Task
from deployments.errors import DeadlineExceeded, LoadError, Overloaded, Unavailable
from deployments.replica.call import Call, Render, job_of
from deployments.replica.engines import engine_for
from deployments.replica.limits import ReplicaLimits
from deployments.replica.loading import load_task
from deployments.replica.partial_call import PartialCall
from deployments.replica.stream_call import StreamCall
from deployments.replica.watchdog import Watchdog
from deployments.replica.worker import ResultT, Worker
from deployments.telemetry.measurements import Answer
from deployments.telemetry.observer import Observer

if TYPE_CHECKING:
    from deployments.telemetry.tracing.call_trace import RequestTrace

logger = logging.getLogger(__name__)

CallT = TypeVar("CallT", bound=Call)
Stage = Callable[[str, str], None]

LONG_QUEUE_S = 1.0  # a queue this long does not drain while requests are refused upstream
WARM_UP_WORDS = (1, 16, 128)

# The model thread needs the interpreter lock after every operation, and the thread that holds it (parsing, tokenizing,
# JSON) keeps it for up to 5 ms by default. Against the offline limit on two cores: 0.85 by default, 0.88 with this.
SWITCH_INTERVAL_S = 1e-4


class Replica:
    """Loads a model and answers requests with it.

    Args:
        config: the model.
        task: its task.
        limits: of the queue and of one request.
        stage: called with each stage of loading: "loading", "downloading" (with its progress), "checking", "warming",
            "ready".
        health: when the replica counts as broken.
        observer: notified of requests, batches and the load.
        owns_process: nothing else runs in this process, which does without torch where none is needed.

    Attributes:
        description: of the engine, for the answer to `GET /tasks/<task>`.
        places: requests between arrival and answer, those included whose body is still being received.
        in_flight: requests among them that wait for the model or run in it.
    """

    def __init__(
        self,
        config: ModelConfig,
        task: type[Task[Any, Any]],
        *,
        limits: ReplicaLimits | None = None,
        stage: Stage = lambda stage, detail: None,
        health: Health | None = None,
        observer: Observer | None = None,
        owns_process: bool = False,
    ) -> None:
        self.config = config
        self._owns_process = owns_process
        self.limits = limits or ReplicaLimits()
        self.task_class = task
        self.task: Task[Any, Any] | None = None
        self.description: Mapping[str, Any] = {}
        self.places = 0
        self.in_flight = 0
        self._report_stage = stage
        self._stage_at: tuple[str, float] | None = None
        self._health = health or Health()
        self._watchdog: Watchdog | None = None
        self.observer = observer or Observer()
        self._text = Worker(f"text-{config.name}", threads=task.preprocess_threads)
        self._scheduler: Scheduler | None = None
        self._drain_rate = DrainRate()

    def load(self) -> None:
        """Load the model, choose its engine, warm up. Blocks; call it off the event loop.

        Raises:
            LoadError: the model cannot be served as configured.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_S)  # of the whole process, which has no other replica
        self._stage("loading")
        self.task, backend = load_task(
            self.config,
            self.task_class,
            report=lambda progress: self._report_stage("downloading", progress),
            owns_process=self._owns_process,
        )
        self.task.limits = self.limits.media
        self._stage("checking")
        engine = engine_for(self.task, f"model-{self.config.name}", self.observer)
        self._scheduler, self.description = engine.scheduler, {**backend.description, **engine.description}
        self._scheduler.start()
        self._text.start()
        self._stage("warming")
        for words in WARM_UP_WORDS:
            for request in self.task.sized_examples(words):
                self._run_example(request)
        self._watchdog = Watchdog(self.config.name, self.task, self._scheduler, self._text, self._health, self.observer)
        self.observer.watch(lambda: self.in_flight, lambda: engine.scheduler.load)
        self.observer.ready(facts_of(self.task.checkpoint.model).weight_bytes)
        self._stage("ready")

    def _stage(self, stage: str) -> None:
        now = time.monotonic()
        if self._stage_at is not None:
            before, began = self._stage_at
            self.observer.stage(before, now - began)
        self._stage_at = (stage, now)
        self._report_stage(stage, "")

    @contextmanager
    def place(self, timeout_s: float) -> Iterator[None]:
        """Count a request, from before anything is spent on it until it is answered.

        Raises:
            Overloaded: `max_waiting` is reached, or the queue is so long that the request would time out in it.
            Unavailable: not loaded yet.
        """
        if self._scheduler is None:
            raise Unavailable(f"{self.config.name} is loading", retry_after=5)
        refusal = self.refusal(timeout_s)
        if refusal is not None:
            raise refusal
        self.places += 1
        try:
            yield
        finally:
            self.places -= 1

    def refusal(self, timeout_s: float) -> Overloaded | None:
        """The error with which `place` would refuse a request now for overload; None if it would not."""
        if self._scheduler is None:
            return None
        name, retry_after = self.config.name, self._drain_rate.retry_after
        if self.places >= self.limits.max_waiting:
            return Overloaded(f"{name} has {self.places} requests waiting; retry later", retry_after=retry_after())
        # Requests in the running batch do not wait, nor do those of the next batch.
        waiting = self.in_flight - self._scheduler.batch_rows
        if waiting > self._scheduler.batch_rows:
            seconds = self._drain_rate.seconds_for(waiting)
            if seconds is not None and seconds > timeout_s:
                reason = f"{name} has {waiting} requests waiting, about {seconds:.1f} s; the timeout is {timeout_s:g} s"
                return Overloaded(f"{reason}; retry later", retry_after=retry_after())
        return None

    def is_full(self, timeout_s: float) -> bool:
        """Whether a request with this timeout is refused and the queue takes at least a second to drain."""
        if self._scheduler is None or self.refusal(timeout_s) is None:
            return False
        seconds = self._drain_rate.seconds_for(self.in_flight - self._scheduler.batch_rows)
        return seconds is not None and seconds >= LONG_QUEUE_S

    async def predict(
        self, request: Any, render: Render, timeout_s: float, trace: "RequestTrace | None" = None
    ) -> Answer:
        """Answer one request; `render` turns the answer into bytes, on the text thread.

        Raises:
            ServiceError: the request failed. A cancelled call drops its rows from the queue.
        """
        kind = PartialCall if request.partial and request.is_batch else Call
        call, timer = self._begin(kind, request, render, timeout_s, trace)
        assert call.future is not None
        try:
            answer = await call.future
            self._answered(answer)
            return answer
        except asyncio.CancelledError:
            call.fail(Unavailable("the client has disconnected"))
            raise
        finally:
            self._end(call, timer)

    async def stream(
        self,
        request: Any,
        timeout_s: float,
        report: Callable[[Answer], None] = lambda answer: None,
        trace: "RequestTrace | None" = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The events of one request, as the model generates; close it to end the request.

        Args:
            timeout_s: until the end of the stream.
            report: called with the measurements before the first event, if known then, and at the end.

        Raises:
            ServiceError: the request failed, before the first event or between two.
        """
        call, timer = self._begin(StreamCall, request, lambda value: b"", timeout_s, trace)
        assert call.future is not None
        try:
            is_first = True
            while (event := await call.events.get()) is not None:
                if is_first:
                    self._first_event(call, report)
                is_first = False
                yield event
            answer = await call.future
            self._answered(answer)
            report(answer)
        except (asyncio.CancelledError, GeneratorExit):
            call.fail(Unavailable("the client has disconnected"))
            raise
        finally:
            self._end(call, timer)

    def _first_event(self, call: StreamCall, report: Callable[[Answer], None]) -> None:
        assert self._scheduler is not None
        if (so_far := call.so_far(self._scheduler.load)) is not None:
            report(so_far)
        if call.trace is not None:
            call.trace.first_token(time.monotonic())

    def _answered(self, answer: Answer) -> None:
        self.observer.answered(answer)
        if self._watchdog is not None:
            self._watchdog.answered()

    async def on_text_thread(self, work: Callable[[Task[Any, Any]], ResultT], timeout_s: float) -> ResultT:
        """Run a small piece of work with the tokenizer on the text thread, behind the requests there.

        Raises:
            ServiceError: not loaded yet, no result within `timeout_s`, or the error of `work`.
        """
        task = self.task
        if task is None or self._scheduler is None:
            raise Unavailable(f"{self.config.name} is loading", retry_after=5)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._text.result(lambda: work(task))
        except TimeoutError:
            raise DeadlineExceeded("no answer within the request's time") from None

    def _begin(
        self, kind: type[CallT], request: Any, render: Render, timeout_s: float, trace: "RequestTrace | None"
    ) -> tuple[CallT, asyncio.TimerHandle]:
        """Submit a request to the text thread, with a timer for its deadline."""
        if self.task is None or self._scheduler is None:
            raise Unavailable(f"{self.config.name} is loading", retry_after=5)
        deadline = time.monotonic() + timeout_s
        call = kind(request, self.task, self._scheduler, self._text, render, deadline, self.limits.max_input_tokens)
        if trace is not None:
            call.trace = trace.call()
        timer = asyncio.get_running_loop().call_later(timeout_s, call.expire)
        self.in_flight += 1
        self._drain_rate.enter()
        self._text.submit(call.prepare)
        return call, timer

    def _end(self, call: Call, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._drain_rate.leave(done=call.is_answered)
        call.release()
        self.in_flight -= 1

    def check_health(self) -> None:
        """Raise `RuntimeError` if this replica should be replaced."""
        if self._watchdog is not None:
            self._watchdog.check()

    def stop(self) -> None:
        """Answer waiting requests with `Unavailable` and end all threads."""
        if self._scheduler is not None:
            self._scheduler.stop()
            self._text.stop()

    def _run_example(self, request: Any) -> None:
        """Run an example through the model thread, as requests will."""
        assert self.task is not None
        assert self._scheduler is not None
        prepared = self.task.preprocess(request)
        done = threading.Event()
        job = job_of(self.task, prepared, lambda job: done.set())
        self._scheduler.submit(job)
        done.wait()
        if job.error is not None:
            raise LoadError(f"{self.config.name}: the model fails on its own example ({job.error})") from job.error
        self.task.postprocess(request, prepared, job.outputs)
