"""Engine: in-flight batching. Rows join and leave a running batch between decode steps. No Ray, no HTTP.

One model thread owns the batch. Per iteration it drops rows that are over, admits waiting ones within the budget, reads
a bounded piece of their prompts, and takes one step with every row that runs (Orca, Yu et al. 2022, calls it
iteration-level scheduling). Here it works over ordinary transformers caches, encoder-decoders included.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from deployments.errors import DeadlineExceeded, ForwardFailed, TooLarge, Unavailable
from deployments.generation.in_flight.admission import claim, newcomers, require_possible
from deployments.generation.in_flight.batch import Batch
from deployments.generation.in_flight.families import Family
from deployments.generation.in_flight.iteration import ALONE_TOO_LARGE, Decoding
from deployments.generation.in_flight.kv_batch import Limits
from deployments.generation.sampling.log_probabilities import TokenLogprob
from deployments.generation.sampling.sampler import Sampler
from deployments.generation.sequence import Finish, Job
from deployments.memory import is_out_of_memory
from deployments.telemetry.measurements import BatchReport
from deployments.telemetry.observer import Observer

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How much an engine takes at once.

    Attributes:
        max_cache_tokens: tokens that the key-value cache holds, padding, the encoder's output and prompts being read
            included.
        max_rows: sequences that decode together.
        max_prefill_tokens: prompt tokens that are read between two decode steps.
        pad_token_id: left padding of short prompts; masked.
    """

    max_cache_tokens: int
    max_rows: int = 16
    max_prefill_tokens: int = 512
    pad_token_id: int = 0


class Engine:
    """Owns the waiting line and the model thread.

    Args:
        model: in eval mode, on its device.
        family: `families.family_of(model)`.
        sampler: empty; the engine alone uses it.
        config: how much it takes at once.
        observer: told of steps, of what fails, and of rows that left the line.
        name: of the thread.
    """

    def __init__(
        self,
        model: "torch.nn.Module",
        family: Family,
        sampler: Sampler,
        config: EngineConfig,
        *,
        is_out_of_memory: Callable[[BaseException], bool] = is_out_of_memory,
        observer: Observer | None = None,
        name: str = "model",
    ) -> None:
        self.family = family
        self.max_prefill_tokens = config.max_prefill_tokens
        self._observer = observer or Observer()
        self._decoding = Decoding(
            model,
            family,
            Batch(model, family, sampler, self._deliver, self._settle),
            Limits(config.max_cache_tokens, config.max_rows),
            settle=self._settle,
            requeue=self._requeue,
            is_out_of_memory=is_out_of_memory,
            observer=self._observer,
            pad_token_id=config.pad_token_id,
        )
        self._waiting: deque[Job] = deque()
        self._alone: set[Job] = set()  # of the waiting ones: those to be read by themselves
        self._errands: deque[tuple[Callable[[], None], Future[None]]] = deque()  # see `between`
        self._changed = threading.Condition()
        self._stopping = False
        self.busy_since: float | None = None  # time.monotonic() at which the running iteration began
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Rows that wait to be read."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Rows that decode or are being read."""
        return len(self._decoding.jobs)

    @property
    def cells(self) -> int:
        """Token places of the cache that are taken up now."""
        return self._decoding.cells

    @property
    def padding_ratio(self) -> float:
        """Share of padding in what a step reads."""
        return self._decoding.padding_ratio

    @property
    def max_cache_tokens(self) -> int:
        """The budget of `cells`; less than configured after memory ran out."""
        return self._decoding.limits.max_cells

    def submit(self, job: Job) -> None:
        """Put a job in line. Thread-safe; never blocks on the model.

        Raises:
            InvalidInput: it could never run: its prompt is empty or, with its answer, longer than the cache's budget or
                than the model can count.
        """
        require_possible(job, self.family, self.max_cache_tokens)
        job.submitted = time.monotonic()
        with self._changed:
            if not self._stopping:
                self._waiting.append(job)
                self._changed.notify()
                return
        self._settle(job, Unavailable("the model is shutting down", retry_after=1))

    def cancel(self, job: Job, error: BaseException | None = None, *, finished: bool = False) -> None:
        """End a job now; its row leaves the batch before the next step. Thread-safe.

        `finished`: it ended well ("stop"), as when its text has reached a stop string.
        """
        if finished:
            self._settle(job, finish="stop")
        else:
            self._settle(job, error or Unavailable("the request was cancelled"))
        with self._changed:
            was_waiting = job in self._waiting
            if was_waiting:
                self._waiting.remove(job)
            self._alone.discard(job)
        if was_waiting:
            self._observer.dropped("cancelled", 1)

    def between(self, call: Callable[[], None]) -> None:
        """Run something else with the model, on the model thread between two iterations, and wait for it.

        Raises:
            Unavailable: the engine is being stopped.
        """
        errand: Future[None] = Future()
        with self._changed:
            if self._stopping:
                raise Unavailable("the model is shutting down", retry_after=1)
            self._errands.append((call, errand))
            self._changed.notify()
        errand.result()

    def stop(self, timeout: float = 5.0) -> None:
        """Answer everything under way with `Unavailable` and end the thread once its step is over."""
        with self._changed:
            self._stopping = True
            left = list(self._waiting)
            self._waiting.clear()
            errands, self._errands = self._errands, deque()
            self._changed.notify_all()
        for _, errand in errands:
            errand.set_exception(Unavailable("the model is shutting down", retry_after=1))
        for job in left:
            self._settle(job, Unavailable("the model is shutting down", retry_after=1))
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        # What is on board after the last step leaves no row behind, unless that step still runs.
        for job in self._decoding.jobs if self._thread.is_alive() else self._decoding.forget():
            self._settle(job, Unavailable("the model is shutting down", retry_after=1))

    def iterate(self) -> bool:
        """One round; the thread's loop calls nothing else. False if nothing is left to do."""
        import torch

        with torch.inference_mode():
            self._iterate()
        return bool(self._waiting or self._decoding.jobs)

    def _iterate(self) -> None:
        self._expire()
        self._decoding.drop_settled()
        if not self._decoding.is_reading and (jobs := self._next()):
            now = time.monotonic()
            for job in jobs:
                job.started = job.started or now
            self._decoding.begin(jobs)
        self._decoding.read(self.max_prefill_tokens)
        self._decoding.drop_settled()
        self._step()

    def _step(self) -> None:
        rows, cost, padding = self._decoding.rows, self._decoding.cells, self._decoding.padding_ratio
        began = time.monotonic()
        self._decoding.step()
        if rows:
            self._observer.batch(BatchReport(rows, cost, padding, time.monotonic() - began))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._decoding.jobs or self._errands or self._stopping):
                    self._changed.wait()
                if self._stopping:
                    return
                errands, self._errands = self._errands, deque()
            self.busy_since = time.monotonic()
            for call, errand in errands:
                _run_errand(call, errand)
            try:
                self.iterate()
            except Exception as error:  # a mistake of ours: those on board are lost, the next ones are not
                logger.error("an iteration failed", exc_info=error)
                for job in self._decoding.forget():
                    self._settle(job, ForwardFailed("the model failed"))
            self.busy_since = None

    def _expire(self) -> None:
        now = time.monotonic()
        with self._changed:
            late = [job for job in self._waiting if job.deadline < now]
            if late:
                self._waiting = deque(job for job in self._waiting if job.deadline >= now)
        if late:
            self._observer.dropped("expired", len(late))
        for job in (*late, *(job for job in self._decoding.jobs if job.deadline < now)):
            self._settle(job, DeadlineExceeded("the request's time ran out before its text was complete"))

    def _next(self) -> list[Job]:
        """Take the next newcomers out of the line."""
        limits, has_encoder = self._decoding.limits, self.family.has_encoder
        impossible = []
        with self._changed:
            while self._waiting and claim(self._waiting[0], has_encoder).cells > limits.max_cells:
                impossible.append(self._waiting.popleft())
            most = 1 if self._waiting and self._waiting[0] in self._alone else limits.max_rows
            line = list(islice(self._waiting, most))
            count = newcomers(line, self._decoding.claims, limits, self.max_prefill_tokens, has_encoder)
            taken = [self._waiting.popleft() for _ in range(count)]
            self._alone.difference_update(taken)
        for job in impossible:  # they fitted until memory ran out
            self._settle(job, TooLarge(ALONE_TOO_LARGE))
        return [job for job in taken if not job.settled]

    def _requeue(self, jobs: Sequence[Job], alone: bool) -> None:
        with self._changed:
            self._waiting.extendleft(reversed(jobs))
            if alone:
                self._alone.update(jobs)

    def _deliver(self, job: Job, token: int, logprob: float | None, top: Sequence[TokenLogprob]) -> None:
        if job.settled:
            return
        job.tokens.append(token)
        job.first_token = job.first_token or time.monotonic()
        try:
            stop = job.on_token(job, token, logprob, top)
        except Exception as error:
            logger.error("a row's callback failed", exc_info=error)
            self._settle(job, ForwardFailed("the answer could not be handed on"))
            return
        if token in job.params.eos_token_ids:
            self._settle(job, finish="eos")
        elif stop:
            self._settle(job, finish="stop")
        elif len(job.tokens) >= job.max_new_tokens:
            self._settle(job, finish="length")

    def _settle(self, job: Job, error: BaseException | None = None, finish: Finish | None = None) -> None:
        with self._changed:  # `done` is called once, whoever comes first
            if job.settled:
                return
            job.error, job.finish = error, finish
        job.finished = time.monotonic()
        job.done(job)


def _run_errand(call: Callable[[], None], errand: "Future[None]") -> None:
    try:
        call()
    except BaseException as error:
        errand.set_exception(error)
    else:
        errand.set_result(None)
