"""Batch: the sequences that decode, in the same order in `rows`, in the key-value cache and in the sampler."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deployments.errors import ForwardFailed
from deployments.generation.in_flight.admission import Reservation
from deployments.generation.in_flight.families import Family
from deployments.generation.in_flight.forward import Prefill, decode, decode_one_by_one
from deployments.generation.in_flight.kv_batch import KVBatch, KVLimits, without_gaps
from deployments.generation.sampling.log_probabilities import TokenLogprob
from deployments.generation.sampling.sampler import Sampler, Step
from deployments.generation.sequence import GenerationSequence

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class RunningSequence:
    """A sequence that decodes, or whose prompt is being read.

    `sampled` counts its tokens since it joined. After preemption it joins again with an empty cache and the same seed,
    so the sampler repeats the tokens that were emitted before; those are not emitted again.
    """

    sequence: GenerationSequence
    reservation: Reservation
    sampled: int = 0

    @property
    def has_used_its_reservation(self) -> bool:
        sequence = self.sequence
        return sequence.reserved_tokens <= self.sampled < sequence.max_new_tokens


class Batch:
    """Sequences that decode together.

    Args:
        model: in eval mode.
        family: how the model is called.
        sampler: of this batch alone.
    """

    def __init__(self, model: "torch.nn.Module", family: Family, sampler: Sampler) -> None:
        self._model, self._family, self._sampler = model, family, sampler
        self.rows: list[RunningSequence] = []
        self._kv: KVBatch | None = None
        self._tokens: torch.Tensor | None = None  # [rows], each row's last

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def kv_slots(self) -> int:
        """KV slots that its buffers take."""
        return self._kv.kv_slots if self._kv else 0

    @property
    def padding_ratio(self) -> float:
        """Share of padding in what a decode step reads."""
        return self._kv.padding_ratio if self._kv else 0.0

    def tighten(self, limits: KVLimits) -> None:
        """Shrink the cache to these limits."""
        if self._kv:
            self._kv.tighten(limits)

    def make_room(self, limits: KVLimits) -> None:
        """Make sure that the cache has a column for the next step."""
        if self._kv:
            self._kv.make_room(limits)

    def reserve_more(self, place: int) -> None:
        """Reserve more columns for an open-ended row."""
        running = self.rows[place]
        more = running.sequence.reserve_more()
        running.reservation = replace(running.reservation, columns=running.reservation.columns + more)
        if self._kv:
            self._kv.max_lengths[place] += more

    def sample_first(self, new: Sequence[RunningSequence], logits: "torch.Tensor") -> Step:
        """Admit new sequences to the sampler and sample their first tokens; the batch is as it was if this fails."""
        seeds = self._sampler.admit([running.sequence.row for running in new])
        for running, seed in zip(new, seeds, strict=True):
            if seed is not None and running.sequence.params.seed is None:
                running.sequence.params = replace(running.sequence.params, seed=seed)
        try:
            return self._sampler.step(logits, len(self.rows))
        except Exception:
            self._sampler.keep(range(len(self.rows)))
            raise

    def join(self, new: Sequence[RunningSequence], prefill: Prefill, limits: KVLimits) -> None:
        """Append new sequences, whose prompts are read."""
        rows = prefill.rows()
        if self._kv is None:
            self._kv = rows
        else:
            self._kv.join(rows, limits)
        self.rows += new

    def emit_first(self, step: Step) -> None:
        """Emit the first tokens of the sequences that joined last."""
        self._emit(step, len(self.rows) - len(step.tokens))

    def forward(self) -> "torch.Tensor":
        """Logits `[rows, vocabulary]`; the batch is as it was if this fails."""
        assert self._kv is not None
        assert self._tokens is not None
        try:
            return decode(self._model, self._family, self._kv, self._tokens)
        except Exception:
            self._kv.rewind()
            raise

    def forward_one_by_one(self) -> "list[torch.Tensor | Exception]":
        """The same for one row after the other: each row's logits, or its exception."""
        assert self._kv is not None
        assert self._tokens is not None
        return decode_one_by_one(self._model, self._family, self._kv, self._tokens)

    def sample_and_emit(self, logits: "torch.Tensor") -> None:
        """Sample every row's next token and emit it."""
        self._emit(self._sampler.step(logits), 0)

    def keep(self, alive: Sequence[int]) -> list[int]:
        """Keep these rows (ascending); returns the order they are in now."""
        order = without_gaps(alive)
        self.rows = [self.rows[row] for row in order]
        self._sampler.keep(order)
        if self._kv is None or not order:
            self._kv = self._tokens = None
            return order
        self._kv.keep(order)
        assert self._tokens is not None
        self._tokens = self._tokens[order]
        return order

    def _emit(self, step: Step, first: int) -> None:
        """Emit the tokens of the rows from `first` on, and keep them as the next step's inputs."""
        import torch

        tokens = step.tokens.tolist()
        for place, running in enumerate(self.rows[first:]):
            sequence = running.sequence
            running.sampled += 1
            if running.sampled <= len(sequence.tokens):
                tokens[place] = sequence.tokens[running.sampled - 1]
            elif error := step.errors.get(first + place):
                sequence.settle(error)
            elif not sequence.is_settled:
                emit(sequence, tokens[place], step.logprobs[place], step.top[place])
        last = torch.tensor(tokens, device=step.tokens.device)
        self._tokens = last if self._tokens is None or not first else torch.cat([self._tokens, last])


def emit(sequence: GenerationSequence, token: int, logprob: float | None, top: Sequence[TokenLogprob]) -> None:
    """Emit a token that was sampled; a sequence whose callback fails has failed."""
    try:
        sequence.emit(token, logprob, top)
    except Exception as error:
        logger.error("a sequence's callback failed", exc_info=error)
        sequence.settle(ForwardFailed("the answer could not be delivered"))
