"""Engine: continuous ("in-flight") batching. Sequences join and leave the running batch between decode steps.

One model thread owns the batch. Each iteration drops sequences that are over, admits waiting ones within the budget,
reads a bounded piece of their prompts, and takes one decode step with every sequence that runs (iteration-level
scheduling, Orca, Yu et al. 2022). Here it works over ordinary transformers caches, encoder-decoders included.

The engine has the thread and the queue. A `Runner` has the model and the sequences that run: `ModelRunner` calls a
transformers model in torch, `PagedRunner` an exported graph with paged attention.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from deployments.errors import DeadlineExceeded, ForwardFailed, TooLarge, Unavailable
from deployments.generation.sequence import GenerationSequence
from deployments.telemetry.observer import Observer

logger = logging.getLogger(__name__)

ALONE_TOO_LARGE = "this input alone needs more memory than the model's device has"

Requeue = Callable[[Sequence[GenerationSequence]], None]  # puts sequences back at the head of the queue, oldest first


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How much an engine takes at once.

    Attributes:
        max_cache_tokens: KV slots of the cache, with padding, the encoder's output and prompts that are being read.
        max_rows: sequences that decode together.
        max_prefill_tokens: prompt tokens that are read between two decode steps, about.
        pad_token_id: left padding of short prompts; masked.
    """

    max_cache_tokens: int
    max_rows: int = 16
    max_prefill_tokens: int = 512
    pad_token_id: int = 0


class Runner(Protocol):
    """The sequences that run, and the calls of their model. Its methods run on the engine's thread alone."""

    @property
    def sequences(self) -> list[GenerationSequence]:
        """Those that decode or whose prompts are being read."""

    @property
    def kv_slots(self) -> int:
        """KV slots in use."""

    @property
    def max_kv_slots(self) -> int:
        """The budget of `kv_slots`."""

    @property
    def padding_ratio(self) -> float:
        """Share of padding in what a decode step reads."""

    def require_possible(self, sequence: GenerationSequence) -> None:
        """Refuse what could never run, however long it waited. Thread-safe.

        Raises:
            InvalidInput: the prompt is empty or, with its answer, longer than the cache or than the model's positions.
        """

    def is_too_large(self, sequence: GenerationSequence) -> bool:
        """Whether a sequence that was possible no longer is, since memory ran out."""

    def admissible(self, queue: Sequence[GenerationSequence]) -> int:
        """How many from the head of the queue can begin now."""

    def begin(self, sequences: Sequence[GenerationSequence]) -> None:
        """Start to read these prompts, as many as `admissible` has told, or fewer."""

    def step(self, max_prefill_tokens: int) -> None:
        """Read about this many prompt tokens, and sample and emit a token of every sequence that decodes."""

    def drop_settled(self) -> None:
        """Free the cache of sequences that are over."""

    def clear(self) -> list[GenerationSequence]:
        """Drop every sequence; returns those that were not settled, oldest first."""


class Engine:
    """Owns the queue and the model thread.

    Args:
        runner: makes the engine's runner, given what puts sequences that it has preempted back into the queue.
        config: how much it takes at once.
        observer: notified of sequences that left the queue.
        name: of the thread.

    Attributes:
        busy_since: `time.monotonic()` at which the running iteration began; None while there is none.
    """

    def __init__(
        self,
        runner: Callable[[Requeue], Runner],
        config: EngineConfig,
        *,
        observer: Observer | None = None,
        name: str = "model",
    ) -> None:
        self.config = config
        self.busy_since: float | None = None
        self._observer = observer or Observer()
        self._runner = runner(self._requeue)
        self._queue: deque[GenerationSequence] = deque()
        self._calls: deque[tuple[Callable[[], None], Future[None]]] = deque()  # see `run_on_engine_thread`
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Sequences in the queue."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Sequences that decode or whose prompts are being read."""
        return len(self._runner.sequences)

    @property
    def kv_slots(self) -> int:
        """KV slots in use."""
        return self._runner.kv_slots

    @property
    def padding_ratio(self) -> float:
        """Share of padding in what a decode step reads."""
        return self._runner.padding_ratio

    @property
    def max_cache_tokens(self) -> int:
        """The budget of `kv_slots`; less than configured after memory ran out."""
        return self._runner.max_kv_slots

    def submit(self, sequence: GenerationSequence) -> None:
        """Queue a sequence. Thread-safe; never blocks on the model.

        Raises:
            InvalidInput: it could never run: its prompt is empty or, with its answer, longer than the cache's budget or
                than the model's positions.
        """
        self._runner.require_possible(sequence)
        sequence.submitted = time.monotonic()
        with self._changed:
            if not self._stopping:
                self._queue.append(sequence)
                self._changed.notify()
                return
        sequence.settle(_shutting_down())

    def cancel(self, sequence: GenerationSequence, error: BaseException | None = None) -> None:
        """End a sequence now; it leaves the batch before the next step. Thread-safe."""
        sequence.settle(error or Unavailable("the request was cancelled"))
        with self._changed:
            was_waiting = sequence in self._queue
            if was_waiting:
                self._queue.remove(sequence)
        if was_waiting:
            self._observer.dropped("cancelled", 1)

    def run_on_engine_thread(self, call: Callable[[], None]) -> None:
        """Run something else with the model between two iterations, and wait for it.

        Raises:
            Unavailable: the engine is being stopped.
        """
        future: Future[None] = Future()
        with self._changed:
            if self._stopping:
                raise _shutting_down()
            self._calls.append((call, future))
            self._changed.notify()
        future.result()

    def stop(self, timeout: float = 5.0) -> None:
        """Answer everything in progress with `Unavailable` and end the thread once its step is over."""
        with self._changed:
            self._stopping = True
            waiting = list(self._queue)
            self._queue.clear()
            calls, self._calls = self._calls, deque()
            self._changed.notify_all()
        for _, future in calls:
            future.set_exception(_shutting_down())
        for sequence in waiting:
            sequence.settle(_shutting_down())
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        # After the last step the batch is emptied, unless that step still runs.
        for sequence in self._runner.sequences if self._thread.is_alive() else self._runner.clear():
            sequence.settle(_shutting_down())

    def iterate(self) -> bool:
        """One iteration; the thread's loop calls nothing else. False if nothing is left to do."""
        import torch

        with torch.inference_mode():
            self._step()
        return bool(self._queue or self._runner.sequences)

    def _step(self) -> None:
        """Drop, admit, read prompts and decode; every token is emitted where it is sampled."""
        self._drop_expired()
        self._runner.drop_settled()
        if admitted := self._admit():
            self._runner.begin(admitted)
        self._runner.step(self.config.max_prefill_tokens)

    def _drop_expired(self) -> None:
        now = time.monotonic()
        with self._changed:
            late = [sequence for sequence in self._queue if sequence.deadline < now]
            if late:
                self._queue = deque(sequence for sequence in self._queue if sequence.deadline >= now)
        if late:
            self._observer.dropped("expired", len(late))
        for sequence in (*late, *(running for running in self._runner.sequences if running.deadline < now)):
            sequence.settle(DeadlineExceeded("the request's time ran out before its text was complete"))

    def _admit(self) -> list[GenerationSequence]:
        """Take the sequences out of the queue whose prompts are read next."""
        too_large = []
        with self._changed:
            while self._queue and self._runner.is_too_large(self._queue[0]):
                too_large.append(self._queue.popleft())
            first = list(islice(self._queue, self.config.max_rows))
            count = self._runner.admissible(first) if first else 0
            admitted = [self._queue.popleft() for _ in range(count)]
        for sequence in too_large:  # they fitted until memory ran out
            sequence.settle(TooLarge(ALONE_TOO_LARGE))
        now = time.monotonic()
        for sequence in admitted:
            sequence.started = sequence.started or now
        return [sequence for sequence in admitted if not sequence.is_settled]

    def _requeue(self, sequences: Sequence[GenerationSequence]) -> None:
        with self._changed:
            self._queue.extendleft(reversed(sequences))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._queue or self._runner.sequences or self._calls or self._stopping):
                    self._changed.wait()
                if self._stopping:
                    return
                calls, self._calls = self._calls, deque()
            self.busy_since = time.monotonic()
            for call, future in calls:
                _run_call(call, future)
            try:
                self.iterate()
            except Exception as error:  # a mistake of ours: the running sequences are lost, the next ones are not
                logger.error("an iteration failed", exc_info=error)
                for sequence in self._runner.clear():
                    sequence.settle(ForwardFailed("the model failed"))
            self.busy_since = None


def _run_call(call: Callable[[], None], future: "Future[None]") -> None:
    try:
        call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(None)


def _shutting_down() -> Unavailable:
    return Unavailable("the model is shutting down", retry_after=1)
