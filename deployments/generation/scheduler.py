"""GenerationScheduler: runs rows in flight if the model supports it, else in static batches."""

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from deployments.batching.batcher import Batcher
from deployments.batching.job import Job, Settleable
from deployments.errors import ServiceError, Unavailable
from deployments.generation.output import SequenceOutput
from deployments.generation.request import Completion, GenerationRequest
from deployments.generation.sampling.log_probabilities import TokenLogprob
from deployments.generation.sequence import GenerationSequence
from deployments.telemetry.measurements import BatchReport, Load

MakeOutput = Callable[[GenerationRequest, int, Job, Sequence[Completion]], SequenceOutput]


class GenerateStaticBatch(Protocol):
    """`static_batch.generate_static_batch` for one model."""

    def __call__(
        self,
        requests: Sequence[GenerationRequest],
        outputs: Sequence[SequenceOutput],
        is_cancelled: Callable[[GenerationRequest], bool],
    ) -> None: ...


class GenerationEngine(Protocol):
    """Continuous batching: ours (`Engine`), or transformers' own (`PagedEngine`)."""

    busy_since: float | None

    @property
    def is_alive(self) -> bool: ...
    @property
    def waiting(self) -> int: ...
    @property
    def running(self) -> int: ...
    @property
    def kv_slots(self) -> int: ...
    @property
    def max_cache_tokens(self) -> int: ...
    @property
    def padding_ratio(self) -> float: ...
    def start(self) -> None: ...
    def submit(self, sequence: GenerationSequence) -> None: ...
    def cancel(self, sequence: GenerationSequence, error: BaseException | None = None) -> None: ...
    def run_on_engine_thread(self, call: Callable[[], None]) -> None: ...
    def stop(self) -> None: ...


class GenerationScheduler:
    """Queues rows that are generated, each by the engine or in a static batch.

    Args:
        engine: None where the model's sequences cannot join a running batch.
        batcher: makes a `Batcher` around a forward, for static batches.
        generate_static_batch: runs a static batch.
        batch_key: rows with equal keys may share a static batch.
        output: makes the output of a row from its request, index, job and previous segments.
        max_cache_tokens: KV slots that an open-ended row may come to use, without an engine that knows its own.
    """

    def __init__(
        self,
        engine: GenerationEngine | None,
        batcher: Callable[[Callable[[Sequence[Any], Hashable], Sequence[Any]]], Batcher],
        generate_static_batch: GenerateStaticBatch,
        batch_key: Callable[[GenerationRequest], Hashable],
        output: MakeOutput,
        max_cache_tokens: int,
    ) -> None:
        self._engine = engine
        self._generate_static_batch = generate_static_batch
        self._batch_key = batch_key
        self._make_output = output
        self._max_cache_tokens = max_cache_tokens
        self._batcher = batcher(self._forward)
        self._cancellations: dict[Job, list[Callable[[BaseException], None]]] = {}  # of each row of a job in progress
        self._outputs: dict[GenerationRequest, SequenceOutput] = {}  # of rows in static batches
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
        """When the running iteration of the engine, or the running static batch, began; None if neither runs."""
        busy_since = [self._batcher.busy_since, self._engine.busy_since if self._engine else None]
        return min((moment for moment in busy_since if moment is not None), default=None)

    @property
    def load(self) -> Load:
        waiting, running = self._batcher.load[:2]
        if self._engine is None:
            return Load(waiting, running)
        engine = self._engine
        cache_used = engine.kv_slots / engine.max_cache_tokens
        return Load(waiting + engine.waiting, running + engine.running, engine.padding_ratio, cache_used)

    @property
    def batch_rows(self) -> int:
        """Rows of the running batch, and of the static batch that runs or ran last."""
        return self._batcher.batch_rows + (self._engine.running if self._engine else 0)

    def submit(self, *jobs: Job) -> None:
        """Queue the jobs' rows. Rows that could never run end their job with the reason."""
        for job in jobs:
            self._submit(job)

    def _submit(self, job: Job) -> None:
        job.queued()
        with self._lock:
            self._cancellations[job] = []
        try:
            for index, request in enumerate(job.rows):
                self._submit_row(job, index, request)
        except ServiceError as error:
            self.cancel(job, error)

    def cancel(self, job: Job, error: BaseException | None = None) -> None:
        """End a job; its rows leave the running batch before the next step."""
        error = error or Unavailable("the request was cancelled")
        with self._lock:
            cancellations = self._cancellations.pop(job, ())
        job.settle(error)
        for cancel_row in cancellations:
            cancel_row(error)

    def stop(self) -> None:
        """Answer everything in progress with `Unavailable` and end both threads."""
        with self._lock:
            jobs = list(self._cancellations)
        for job in jobs:  # also those in a static batch, which ends once all its rows are cancelled
            self.cancel(job, Unavailable("the model is shutting down", retry_after=1))
        if self._engine is not None:
            self._engine.stop()
        self._batcher.stop()

    def _submit_row(
        self, job: Job, index: int, request: GenerationRequest, previous_segments: Sequence[Completion] = ()
    ) -> None:
        request = request.within(self._engine.max_cache_tokens if self._engine else self._max_cache_tokens)
        output = self._make_output(request, index, job, previous_segments)
        if self._engine is None or request.num_beams > 1:
            self._submit_static(job, index, request, output)
        else:
            self._submit_in_flight(self._engine, job, index, request, output)

    def _submit_in_flight(
        self, engine: GenerationEngine, job: Job, index: int, request: GenerationRequest, output: SequenceOutput
    ) -> None:
        def on_token(
            sequence: GenerationSequence, token: int, logprob: float | None, top: Sequence[TokenLogprob]
        ) -> bool:
            job.started = job.started or sequence.started
            return output.add(token, logprob, top)

        def done(sequence: GenerationSequence) -> None:
            output.complete(sequence.params, sequence.started, sequence.finished)
            output.completion.prompt_logprobs = sequence.prompt_logprobs
            report = BatchReport(engine.running, engine.kv_slots, engine.padding_ratio, output.completion.total_s)
            self._row_finished(job, index, output, sequence, report)

        sequence = GenerationSequence(
            request.prompt,
            request.params,
            processor=request.processor,
            is_open_ended=request.is_open_ended,
            on_token=on_token,
            done=done,
            deadline=job.deadline,
        )
        engine.submit(sequence)
        self._add_cancellation(job, lambda error: engine.cancel(sequence, error))

    def _submit_static(self, job: Job, index: int, request: GenerationRequest, output: SequenceOutput) -> None:
        def done(row: Job) -> None:
            self._outputs.pop(request, None)
            output.complete(request.params, row.started, row.finished)
            self._row_finished(job, index, output, row, row.report)

        self._outputs[request] = output
        row = Job(
            [request],
            [request.length * request.num_beams],
            self._batch_key(request),
            done=done,
            deadline=job.deadline,
            trace=job.trace,
        )
        self._batcher.submit(row)
        self._add_cancellation(job, lambda error: self._batcher.cancel(row, error))

    def _add_cancellation(self, job: Job, cancel_row: Callable[[BaseException], None]) -> None:
        with self._lock:
            if job in self._cancellations:
                self._cancellations[job].append(cancel_row)
                return
        if job.error is not None:  # it ended while this row was queued
            cancel_row(job.error)

    def _forward(self, requests: Sequence[GenerationRequest], params: Hashable) -> Sequence[Completion | None]:
        """The batcher's forward: a static batch, on the engine's thread if there is one: only one may run the model."""
        pairs = [(request, self._outputs.get(request)) for request in requests]
        outputs = {request: output for request, output in pairs if output is not None}  # without cancelled rows

        def run() -> None:
            for output in outputs.values():
                output.restart()
            self._generate_static_batch(list(outputs), list(outputs.values()), self._is_cancelled)

        if not outputs:
            return [None] * len(requests)
        if self._engine is None:
            run()
        else:
            self._engine.run_on_engine_thread(run)
        return [outputs[request].completion if request in outputs else None for request in requests]

    def _is_cancelled(self, request: GenerationRequest) -> bool:
        return request not in self._outputs

    def _row_finished(
        self, job: Job, index: int, output: SequenceOutput, row: Settleable, report: BatchReport | None
    ) -> None:
        """Model thread (or whoever cancelled): one row has ended, or continues with another request."""
        if row.error is not None:
            self.cancel(job, row.error)
            return
        if job.is_settled:
            return
        job.started = min(job.started or row.started, row.started)
        if output.next_request is not None:
            self._continue(job, index, output.next_request, output.completion)
            return
        job.set_output(index, output.completion, report)
        if job.is_settled:
            with self._lock:
                self._cancellations.pop(job, None)

    def _continue(self, job: Job, index: int, request: GenerationRequest, completion: Completion) -> None:
        try:
            self._submit_row(job, index, request, (*completion.previous_segments, completion))
        except ServiceError as error:
            self.cancel(job, error)
