"""ModelRunner: the calls of a model in torch in one iteration, and the recovery from those that fail.

`Batch` has the sequences that decode and their key-value cache, the sampler their options.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from deployments.errors import ForwardFailed, ServiceError, TooLarge
from deployments.generation.in_flight.admission import (
    admissible,
    kv_slots,
    prefill_slots,
    require_possible,
    reservation,
)
from deployments.generation.in_flight.batch import Batch, RunningSequence
from deployments.generation.in_flight.engine import ALONE_TOO_LARGE, Engine, EngineConfig, Requeue
from deployments.generation.in_flight.families import Family
from deployments.generation.in_flight.forward import Prefill
from deployments.generation.in_flight.kv_batch import KVLimits
from deployments.generation.sampling.sampler import Sampler
from deployments.generation.sequence import GenerationSequence
from deployments.memory import is_out_of_memory
from deployments.telemetry.measurements import BatchReport
from deployments.telemetry.observer import Observer

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


def torch_engine(
    model: "torch.nn.Module",
    family: Family,
    sampler: Sampler,
    config: EngineConfig,
    *,
    is_out_of_memory: Callable[[BaseException], bool] = is_out_of_memory,
    observer: Observer | None = None,
    name: str = "model",
) -> Engine:
    """An engine that calls a model in torch.

    Args:
        model: in eval mode, on its device.
        family: `families.family_of(model)`.
        sampler: empty; the engine alone uses it.
        config: how much it takes at once.
        is_out_of_memory: tells an out-of-memory error from another.
        observer: notified of steps, of failures, and of sequences that left the queue.
        name: of the thread.
    """
    observer = observer or Observer()

    def runner(requeue: Requeue) -> ModelRunner:
        return ModelRunner(
            model,
            family,
            Batch(model, family, sampler),
            config,
            requeue=requeue,
            is_out_of_memory=is_out_of_memory,
            observer=observer,
        )

    return Engine(runner, config, observer=observer, name=name)


class ModelRunner:
    """Reads prompts beside a batch that decodes, and takes the batch's decode steps.

    A failure stays with the sequence that causes it: a failed step or prefill is repeated sequence by sequence. When
    memory runs out, the budget is halved, and the youngest sequences are preempted and re-queued.

    Args:
        model: in eval mode.
        family: how the model is called.
        batch: empty.
        config: limits of the batch, of which the KV slots are halved when memory runs out; and what pads prompts.
        requeue: called with preempted sequences, oldest first.
        is_out_of_memory: tells an out-of-memory error from another.
        observer: notified of steps, of failed ones, and of memory that ran out.
    """

    def __init__(
        self,
        model: "torch.nn.Module",
        family: Family,
        batch: Batch,
        config: EngineConfig,
        *,
        requeue: Requeue,
        is_out_of_memory: Callable[[BaseException], bool],
        observer: Observer,
    ) -> None:
        self._model, self._family, self._batch = model, family, batch
        self.limits = KVLimits(config.max_cache_tokens, config.max_rows)
        self._max_prefill = config.max_prefill_tokens
        self._requeue = requeue
        self._is_out_of_memory = is_out_of_memory
        self._observer = observer
        self._pad_token_id = config.pad_token_id
        self._alone: set[GenerationSequence] = set()  # of the queue: those whose prompts must be read alone
        self._prefilling: list[RunningSequence] = []
        self._prefill: Prefill | None = None

    @property
    def sequences(self) -> list[GenerationSequence]:
        """Those that decode or whose prompts are being read."""
        return [running.sequence for running in (*self._batch.rows, *self._prefilling)]

    @property
    def padding_ratio(self) -> float:
        """Share of padding in what a decode step reads."""
        return self._batch.padding_ratio

    @property
    def max_kv_slots(self) -> int:
        """The budget of `kv_slots`; less than configured after memory ran out."""
        return self.limits.max_kv_slots

    @property
    def kv_slots(self) -> int:
        """KV slots in use, padding and prompts that are being read included."""
        return self._batch.kv_slots + self._prefill_slots

    @property
    def _prefill_slots(self) -> int:
        return prefill_slots([running.reservation for running in self._prefilling])

    @property
    def _limits_beside_prefill(self) -> KVLimits:
        """What the prompts that are being read leave to the batch."""
        return KVLimits(max(1, self.limits.max_kv_slots - self._prefill_slots), self.limits.max_rows)

    def drop_settled(self) -> None:
        """Free the cache of sequences that are over."""
        if self._prefilling and all(running.sequence.is_settled for running in self._prefilling):
            self._end_prefill()
        alive = [place for place, running in enumerate(self._batch.rows) if not running.sequence.is_settled]
        if len(alive) < len(self._batch):
            self._batch.keep(alive)

    def require_possible(self, sequence: GenerationSequence) -> None:
        require_possible(sequence, self._family, self.limits.max_kv_slots)

    def is_too_large(self, sequence: GenerationSequence) -> bool:
        return reservation(sequence, self._family.has_encoder).kv_slots > self.limits.max_kv_slots

    def admissible(self, queue: Sequence[GenerationSequence]) -> int:
        """How many from the head of the queue are read next, together; none while others are being read."""
        if self._prefilling:
            return 0
        self._alone.intersection_update(queue)
        return admissible(
            queue[:1] if queue[0] in self._alone else queue,
            [running.reservation for running in self._batch.rows],
            self.limits,
            self._max_prefill,
            has_encoder=self._family.has_encoder,
        )

    def step(self, max_prefill_tokens: int) -> None:
        self.prefill(max_prefill_tokens)
        self.drop_settled()
        rows, slots, padding = len(self._batch), self.kv_slots, self.padding_ratio
        began = time.monotonic()
        self.decode()
        if rows:
            self._observer.batch(BatchReport(rows, slots, padding, time.monotonic() - began))

    def begin(self, sequences: Sequence[GenerationSequence]) -> None:
        """Start to read these prompts, which are of one shape and fit."""
        self._prefilling = [
            RunningSequence(sequence, reservation(sequence, self._family.has_encoder)) for sequence in sequences
        ]
        try:
            self._batch.tighten(self._limits_beside_prefill)
        except Exception as error:
            self._lose_batch(error)
            return
        try:
            self._prefill = Prefill(
                self._model,
                self._family,
                [each.prompt for each in sequences],
                [each.max_total_tokens for each in sequences],
                [each.params for each in sequences],
                self._pad_token_id,
            )
        except Exception as error:
            self._prefill_failed(error)

    def prefill(self, tokens: int) -> None:
        """Read about this many more prompt tokens; once all are read, sample the first tokens and join the batch."""
        if self._prefill is None:
            return
        try:
            if not self._prefill.advance(tokens):
                return
            assert self._prefill.logits is not None
            sampled = self._batch.sample_first(self._prefilling, self._prefill.logits)
        except Exception as error:
            self._prefill_failed(error)
            return
        try:
            for running, logprobs in zip(self._prefilling, self._prefill.prompt_logprobs.rows, strict=True):
                running.sequence.prompt_logprobs = logprobs
            self._batch.join(self._prefilling, self._prefill, self._limits_beside_prefill)
            self._end_prefill()  # before tokens are emitted: whoever looks then finds each sequence once
            self._batch.emit_first(sampled)
        except Exception as error:
            self._lose_batch(error)

    def decode(self) -> None:
        """One token for every sequence of the batch."""
        try:
            self._reserve_more()
            if not self._batch:
                return
            self._batch.make_room(self._limits_beside_prefill)
            logits = self._logits()
            if logits is not None:
                self._batch.sample_and_emit(logits)
        except Exception as error:
            self._lose_batch(error)

    def _reserve_more(self) -> None:
        """Reserve more for open-ended sequences that have used what they had reserved.

        Where the budget does not hold that, the youngest of the open-ended ones are preempted and re-queued: the others
        have reserved all that they may use.
        """
        rows = self._batch.rows
        growing = [place for place, running in enumerate(rows) if running.has_used_its_reservation]
        for place in growing:
            self._batch.reserve_more(place)
        if not growing or len(rows) == 1 and not self._prefilling:
            return
        prefilling = [running.reservation for running in self._prefilling]
        youngest_first = sorted(rows, key=lambda running: -running.sequence.submitted)
        leaving = []
        for running in (each for each in youngest_first if each.sequence.is_open_ended):
            staying = [each.reservation for each in rows if each not in leaving]
            if kv_slots([*staying, *prefilling]) + prefill_slots(prefilling) <= self.limits.max_kv_slots:
                break
            leaving.append(running)
        if leaving:
            self._batch.keep([place for place, running in enumerate(rows) if running not in leaving])
            oldest_first = [running.sequence for running in reversed(leaving)]
            self._requeue([sequence for sequence in oldest_first if not sequence.is_settled])

    def clear(self) -> list[GenerationSequence]:
        """Drop every sequence; returns those that were not settled, oldest first."""
        sequences = [sequence for sequence in self.sequences if not sequence.is_settled]
        self._end_prefill()
        self._batch.keep([])
        return sorted(sequences, key=lambda sequence: sequence.submitted)

    def _end_prefill(self) -> None:
        self._prefilling, self._prefill = [], None

    def _logits(self) -> "torch.Tensor | None":
        """Of the sequences that are left after the step; None if there is nothing to sample."""
        try:
            return self._batch.forward()
        except Exception as error:
            if self._is_out_of_memory(error):
                error.__traceback__ = None  # its frames hold the tensors that were too many
                self._preempt_half()
                return None
            logger.warning("a decode step of %d rows failed; it is repeated row by row: %r", len(self._batch), error)
            self._observer.split()
        return self._logits_one_by_one()

    def _logits_one_by_one(self) -> "torch.Tensor | None":
        import torch

        results = self._batch.forward_one_by_one()
        for running, result in zip(self._batch.rows, results, strict=True):
            if isinstance(result, Exception):
                self._fail([running.sequence], result)
        order = self._batch.keep([place for place, result in enumerate(results) if not isinstance(result, Exception)])
        logits = [results[place] for place in order]
        return torch.cat(logits) if logits else None  # type: ignore[arg-type]

    def _prefill_failed(self, error: Exception) -> None:
        """A prefill has failed: the batch continues; the prompts are re-queued, to be read one by one."""
        sequences = [running.sequence for running in self._prefilling if not running.sequence.is_settled]
        alone = len(self._prefilling) == 1
        self._end_prefill()
        if self._is_out_of_memory(error):
            error.__traceback__ = None
            if alone and not self._batch:
                self._fail(sequences, TooLarge(ALONE_TOO_LARGE))
            else:
                self._shrink(len(self._batch), sequences)
        elif alone:
            self._fail(sequences, error)
        else:
            logger.warning("a prefill of %d prompts failed; they are read one by one: %r", len(sequences), error)
            self._observer.split()
            self._alone.update(sequences)
            self._requeue(sequences)

    def _preempt_half(self) -> None:
        """Re-queue the younger half, and the sequences whose prompts are being read."""
        if len(self._batch) == 1 and not self._prefilling:
            self._fail([self._batch.rows[0].sequence], TooLarge(ALONE_TOO_LARGE))
            self._batch.keep([])
            return
        sequences = [running.sequence for running in self._prefilling if not running.sequence.is_settled]
        self._end_prefill()
        self._shrink((len(self._batch) + 1) // 2, sequences)

    def _shrink(self, max_rows: int, waiting: list[GenerationSequence]) -> None:
        """Halve the budget; the oldest sequences stay, at most `max_rows` and as many as fit into it; the others are
        re-queued together with `waiting`."""
        rows = self._batch.rows
        oldest_first = sorted(range(len(rows)), key=lambda place: rows[place].sequence.submitted)
        self._halve(at_least=kv_slots([rows[place].reservation for place in oldest_first[:1]]))
        staying = oldest_first[:max_rows]
        while staying and kv_slots([rows[place].reservation for place in staying]) > self.limits.max_kv_slots:
            staying.pop()
        leaving = [rows[place].sequence for place in oldest_first[len(staying) :]]
        self._batch.keep(sorted(staying))
        self._requeue([sequence for sequence in (*leaving, *waiting) if not sequence.is_settled])
        self._batch.tighten(self._limits_beside_prefill)

    def _lose_batch(self, error: Exception) -> None:
        """The batch's state is unknown: after an out-of-memory error all are re-queued, else all have failed."""
        sequences = self.clear()
        if not self._is_out_of_memory(error):
            self._fail(sequences, error)
        elif len(sequences) > 1:
            error.__traceback__ = None
            self._halve()
            self._requeue(sequences)
        else:
            self._fail(sequences, TooLarge(ALONE_TOO_LARGE))

    def _halve(self, at_least: int = 1) -> None:
        self.limits = KVLimits(max(at_least, self.limits.max_kv_slots // 2), self.limits.max_rows)
        self._observer.out_of_memory()
        logger.warning(
            "out of memory with %d rows; the cache's budget is now %d", len(self.sequences), self.limits.max_kv_slots
        )

    def _fail(self, sequences: Sequence[GenerationSequence], error: Exception) -> None:
        if not isinstance(error, ServiceError):
            logger.error("the model failed on %d rows", len(sequences), exc_info=error)
            error = ForwardFailed("the model failed on this input")
        for sequence in sequences:
            sequence.settle(error)
