"""GenerationScheduler: rows are written in flight where the model allows it, in static batches where not."""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from deployments.batching.batcher import Batcher
from deployments.batching.job import Job
from deployments.errors import ServiceError, Unavailable
from deployments.generation.output import Writer
from deployments.generation.request import Ask, Written
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sequence import Job as EngineJob
from deployments.telemetry.measurements import BatchReport, Load

MakeWriter = Callable[[Ask, int, Job, Sequence[Written]], Writer]


class Together(Protocol):
    """`static.together` for one model."""

    def __call__(self, asks: Sequence[Ask], writers: Sequence[Writer], is_gone: Callable[[Ask], bool]) -> None: ...


class WritingEngine(Protocol):
    """What writes rows that come and go: ours (`Engine`), or transformers' (`PagedEngine`)."""

    busy_since: float | None

    @property
    def is_alive(self) -> bool: ...
    @property
    def waiting(self) -> int: ...
    @property
    def running(self) -> int: ...
    @property
    def cells(self) -> int: ...
    @property
    def max_cache_tokens(self) -> int: ...
    @property
    def padding_ratio(self) -> float: ...
    def start(self) -> None: ...
    def submit(self, job: EngineJob) -> None: ...
    def cancel(self, job: EngineJob, error: BaseException | None = None) -> None: ...
    def between(self, call: Callable[[], None]) -> None: ...
    def stop(self) -> None: ...


class GenerationScheduler:
    """A line of rows that are written, each by the engine or in a static batch.

    Args:
        engine: None where the model's rows cannot join a running batch.
        batcher: makes a `Batcher` around a forward, for static batches.
        together: runs a static batch.
        static_key: which rows may share one.
        writer: hears a row of a job, of which something may be written already.
    """

    def __init__(
        self,
        engine: WritingEngine | None,
        batcher: Callable[[Callable[[Sequence[Any], Hashable], Sequence[Any]]], Batcher],
        together: Together,
        static_key: Callable[[Ask], Hashable],
        writer: MakeWriter,
    ) -> None:
        self._engine = engine
        self._together = together
        self._static_key = static_key
        self._make_writer = writer
        self._batcher = batcher(self._forward)
        self._parts: dict[Job, list[Callable[[BaseException], None]]] = {}  # what cancels each row of a job under way
        self._writers: dict[Ask, Writer] = {}  # of rows in static batches
        self._lock = threading.Lock()

    def start(self) -> None:
        self._batcher.start()
        if self._engine is not None:
            self._engine.start()

    @property
    def is_alive(self) -> bool:
        return self._batcher.is_alive and (self._engine is None or self._engine.is_alive)

    @property
    def busy_since(self) -> float | None:
        """When what the model does now began: an iteration of the engine, or a static batch."""
        began = [self._batcher.busy_since, self._engine.busy_since if self._engine else None]
        return min((moment for moment in began if moment is not None), default=None)

    @property
    def load(self) -> Load:
        waiting, running = self._batcher.load[:2]
        if self._engine is None:
            return Load(waiting, running)
        engine = self._engine
        cache_used = engine.cells / engine.max_cache_tokens
        return Load(waiting + engine.waiting, running + engine.running, engine.padding_ratio, cache_used)

    @property
    def together(self) -> int:
        """Rows of the running batch, and of the static batch that runs or ran last."""
        return self._batcher.together + (self._engine.running if self._engine else 0)

    def submit(self, job: Job) -> None:
        """Put a job's rows in line. Rows that could never run end it with the reason."""
        job.submitted = time.monotonic()
        job.outputs = [None] * len(job.rows)
        job.missing = len(job.rows)
        with self._lock:
            self._parts[job] = []
        try:
            for index, ask in enumerate(job.rows):
                self._submit_row(job, index, ask)
        except ServiceError as error:
            self.cancel(job, error)

    def cancel(self, job: Job, error: BaseException | None = None) -> None:
        """End a job; its rows leave the running batch before the next step."""
        error = error or Unavailable("the request was cancelled")
        with self._lock:
            if job.settled or job not in self._parts:
                return
            job.error = error
            parts = self._parts.pop(job)
        for cancel_part in parts:
            cancel_part(error)
        job.finished = time.monotonic()
        job.done(job)

    def stop(self) -> None:
        """Answer everything under way with `Unavailable` and end both threads."""
        with self._lock:
            jobs = list(self._parts)
        for job in jobs:  # also those in a static batch, which ends once nobody waits for it
            self.cancel(job, Unavailable("the model is shutting down", retry_after=1))
        if self._engine is not None:
            self._engine.stop()
        self._batcher.stop()

    def _submit_row(self, job: Job, index: int, ask: Ask, earlier: Sequence[Written] = ()) -> None:
        writer = self._make_writer(ask, index, job, earlier)
        if self._engine is None or ask.num_beams > 1:
            self._submit_static(job, index, ask, writer)
        else:
            self._submit_in_flight(self._engine, job, index, ask, writer)

    def _submit_in_flight(self, engine: WritingEngine, job: Job, index: int, ask: Ask, writer: Writer) -> None:
        def done(part: EngineJob) -> None:
            _sign(writer, part.params, part.started, part.finished)
            report = BatchReport(engine.running, engine.cells, engine.padding_ratio, writer.written.total_s)
            self._row_done(job, index, writer, part.error, part.started, report)

        def hear(part: EngineJob, token: int, logprob: float | None, top: Any) -> bool:
            job.started = job.started or part.started
            return writer.hear(token, logprob, top)

        part = EngineJob(
            ask.prompt,
            ask.params,
            processor=ask.processor,
            on_token=hear,
            done=done,
            deadline=job.deadline,
        )
        engine.submit(part)
        self._add_part(job, lambda error: engine.cancel(part, error))

    def _submit_static(self, job: Job, index: int, ask: Ask, writer: Writer) -> None:
        def done(part: Job) -> None:
            self._writers.pop(ask, None)
            _sign(writer, ask.params, part.started, part.finished)
            self._row_done(job, index, writer, part.error, part.started, part.report)

        self._writers[ask] = writer
        part = Job([ask], [ask.length * ask.num_beams], self._static_key(ask), done, job.deadline, trace=job.trace)
        self._batcher.submit(part)
        self._add_part(job, lambda error: self._batcher.cancel(part, error))

    def _add_part(self, job: Job, cancel_part: Callable[[BaseException], None]) -> None:
        with self._lock:
            if job in self._parts:
                self._parts[job].append(cancel_part)
                return
        if job.error is not None:  # ended while this row was put in line
            cancel_part(job.error)

    def _forward(self, asks: Sequence[Ask], params: Hashable) -> Sequence[Written | None]:
        """A static batch, for the batcher; on the engine's thread where there is one, so that the model has but one."""
        writers = {ask: writer for ask in asks if (writer := self._writers.get(ask)) is not None}  # others have gone

        def run() -> None:
            for writer in writers.values():
                writer.restart()
            self._together(list(writers), list(writers.values()), lambda ask: ask not in self._writers)

        if not writers:
            return [None] * len(asks)
        if self._engine is None:
            run()
        else:
            self._engine.between(run)
        return [writers[ask].written if ask in writers else None for ask in asks]

    def _row_done(
        self,
        job: Job,
        index: int,
        writer: Writer,
        error: BaseException | None,
        started: float,
        report: BatchReport | None,
    ) -> None:
        """Model thread (or whoever cancelled): one row is through, or goes on."""
        if error is not None:
            self.cancel(job, error)
            return
        with self._lock:
            if job.settled:
                return
            job.started = min(job.started or started, started)
        if writer.next is not None:
            self._go_on(job, index, writer.next, writer.written)
            return
        with self._lock:
            if job.settled:
                return
            job.outputs[index] = writer.written
            job.report = report
            job.missing -= 1
            if job.missing:
                return
            self._parts.pop(job, None)
        job.finished = time.monotonic()
        job.done(job)

    def _go_on(self, job: Job, index: int, ask: Ask, written: Written) -> None:
        try:
            self._submit_row(job, index, ask, (*written.earlier, written))
        except ServiceError as error:
            self.cancel(job, error)


def _sign(writer: Writer, params: SamplingParams, started: float, finished: float) -> None:
    """Write down what a row was drawn with, and how long it took."""
    written = writer.written
    written.seed = params.seed if params.do_sample else None
    if started and writer.first_token:
        written.first_token_s = writer.first_token - started
        written.total_s = finished - started
