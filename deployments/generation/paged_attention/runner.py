"""PagedRunner: sequences whose keys and values are in the blocks of one cache, and the graph's call for all of them.

Each step is one call: the next token of every sequence that decodes, and beside them pieces of the prompts that are
being read (chunked prefill, Agrawal et al. 2023). Blocks are taken as sequences grow. Where none are left, the youngest
sequence is preempted: it gives back its blocks, waits at the head of the queue, and reads its own text again (much of
which its forgotten blocks may still hold).
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from deployments.errors import ForwardFailed
from deployments.generation.in_flight.admission import require_fitting
from deployments.generation.in_flight.batch import emit
from deployments.generation.in_flight.engine import EngineConfig, Requeue
from deployments.generation.paged_attention.blocks import BLOCK, BlockPool, BlockTable, NoBlocks, blocks_for
from deployments.generation.paged_attention.graph import PagedGraph, Piece
from deployments.generation.paged_attention.prompt_lookup import PromptLookup
from deployments.generation.prompt_logprobs import PromptLogprobs
from deployments.generation.sampling.sampler import Sampler, is_greedy
from deployments.generation.sequence import GenerationSequence
from deployments.telemetry.measurements import BatchReport
from deployments.telemetry.observer import Observer

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class PagedSequence:
    """A sequence that runs.

    Attributes:
        ids: of its prompt, and of its tokens so far.
        table: its blocks, which hold the keys of all of `ids` but those that are read next.
        lookup: guesses its next tokens; None if nothing is guessed.
        guess: tokens that are read in this step, behind its own.
        prompt_logprobs: of the prompt's tokens read so far, if it wants them.
    """

    sequence: GenerationSequence
    ids: list[int]
    table: BlockTable
    lookup: PromptLookup | None = None
    guess: list[int] = field(init=False, default_factory=list)
    prompt_logprobs: PromptLogprobs | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        import torch

        prompt, params = self.sequence.prompt.ids, self.sequence.params
        if params.prompt_logprobs and not self.sequence.tokens:
            self.prompt_logprobs = PromptLogprobs(torch.tensor([[*prompt]]), [len(prompt)], [params])

    @property
    def unread(self) -> int:
        """Tokens that are not in the cache yet."""
        return len(self.ids) - self.table.length

    def piece(self, tokens: int) -> Piece:
        """The next tokens, at most so many."""
        past = self.table.length
        ids = self.ids[past : past + tokens]
        is_last = past + len(ids) == len(self.ids)
        sampled = len(ids) if self.prompt_logprobs is not None else int(is_last)
        return Piece(ids, past, self.table.blocks, sampled)

    @property
    def next_piece(self) -> Piece:
        """Its last token, and the guess behind it."""
        ids = [self.ids[-1], *self.guess]
        return Piece(ids, self.table.length, self.table.blocks, len(ids))

    def make_guess(self) -> None:
        """Guess the next tokens, as far as there is room for them: the last token of all is never read."""
        self.guess = []
        if self.lookup is None:
            return
        room = self.sequence.max_new_tokens - len(self.sequence.tokens) - 1
        guess = self.lookup.guess(self.ids, room)
        try:
            self.table.reserve(len(self.ids) + len(guess))
        except NoBlocks:
            return
        self.guess = guess


class PagedRunner:
    """Runs sequences on a graph with paged attention.

    Args:
        graph: its cache is made here.
        sampler: empty.
        config: how much it takes at once; the cache has its KV slots in whole blocks.
        requeue: called with preempted sequences.
        observer: notified of steps, of failed ones, and of what the cache has spared.
        max_positions: of the model; None if there is no limit.
        shares_prefixes: whether equal beginnings of prompts are read once.
        prompt_lookup: tokens that are guessed for a sequence in one step, at most; see `PromptLookup`.
    """

    def __init__(
        self,
        graph: PagedGraph,
        sampler: Sampler,
        config: EngineConfig,
        *,
        requeue: Requeue,
        observer: Observer,
        max_positions: int | None,
        shares_prefixes: bool = True,
        prompt_lookup: int = 0,
    ) -> None:
        self._graph, self._sampler, self._requeue, self._observer = graph, sampler, requeue, observer
        self._max_rows, self._max_positions = config.max_rows, max_positions
        self._prompt_lookup = prompt_lookup
        self._pool = BlockPool(blocks_for(config.max_cache_tokens), shares_prefixes=shares_prefixes)
        self._decoding: list[PagedSequence] = []  # in the order of the sampler's rows
        self._reading: list[PagedSequence] = []  # whose prompts are read, the first one first
        graph.allocate(self._pool.count)

    @property
    def sequences(self) -> list[GenerationSequence]:
        return [running.sequence for running in (*self._decoding, *self._reading)]

    @property
    def kv_slots(self) -> int:
        return self._pool.held * BLOCK

    @property
    def max_kv_slots(self) -> int:
        return self._pool.count * BLOCK

    @property
    def padding_ratio(self) -> float:
        """Always 0."""
        return 0.0

    def require_possible(self, sequence: GenerationSequence) -> None:
        require_fitting(sequence, self._max_positions, self.max_kv_slots)

    def is_too_large(self, sequence: GenerationSequence) -> bool:
        """Never: the cache has been made."""
        return False

    def admissible(self, queue: Sequence[GenerationSequence]) -> int:
        """Those for whose prompts there are blocks, and for everyone who runs one more."""
        running, left = len(self.sequences), self._pool.available
        fitting = queue[: max(0, self._max_rows - running)]
        for count, sequence in enumerate(fitting):
            left -= self._pool.missing([*sequence.prompt.ids, *sequence.tokens])
            if left < running + count:
                return count
        return len(fitting)

    def begin(self, sequences: Sequence[GenerationSequence]) -> None:
        for sequence in sequences:
            ids = [*sequence.prompt.ids, *sequence.tokens]
            shared = self._pool.shared(ids) if not sequence.params.prompt_logprobs or sequence.tokens else []
            lookup = PromptLookup(self._prompt_lookup) if self._prompt_lookup and is_greedy(sequence.row) else None
            running = PagedSequence(sequence, ids, BlockTable(self._pool, shared), lookup)
            try:
                running.table.reserve(len(ids) + 1)
            except NoBlocks:  # what one of them took was to be shared by the next
                running.table.release()
                self._requeue(sequences[sequences.index(sequence) :])
                return
            self._observer.prompt(len(ids), running.table.length)
            self._reading.append(running)

    def step(self, max_prefill_tokens: int) -> None:
        decoding, began = len(self._decoding), time.monotonic()
        try:
            self._reserve()
            pieces = self._pieces(max_prefill_tokens)
            if pieces:
                self._take_step(pieces)
        except Exception as error:  # the sampler's state is unknown
            self._fail(self._decoding + self._reading, error)
            self.clear()
        if decoding:
            self._observer.batch(BatchReport(decoding, self.kv_slots, 0.0, time.monotonic() - began))

    def drop_settled(self) -> None:
        self._drop([running for running in (*self._decoding, *self._reading) if running.sequence.is_settled])

    def clear(self) -> list[GenerationSequence]:
        sequences = [sequence for sequence in self.sequences if not sequence.is_settled]
        self._drop(self._decoding + self._reading)
        self._sampler.keep([])  # a step that has failed may have left rows that nobody has
        return sorted(sequences, key=lambda sequence: sequence.submitted)

    def _reserve(self) -> None:
        """Take a block for every sequence that decodes and needs one; the youngest gives way where none are left."""
        for running in list(self._decoding):
            while running in self._decoding:
                try:
                    running.table.reserve(len(running.ids))
                    break
                except NoBlocks:
                    everyone = self._decoding + self._reading
                    self._preempt(max(everyone, key=lambda each: each.sequence.submitted))

    def _preempt(self, running: PagedSequence) -> None:
        self._drop([running])
        if not running.sequence.is_settled:
            self._requeue([running.sequence])

    def _pieces(self, max_prefill_tokens: int) -> list[tuple[PagedSequence, Piece]]:
        """What the next call reads, at most this many tokens of prompts."""
        for running in self._decoding:
            running.make_guess()
        pieces = [(running, running.next_piece) for running in self._decoding]
        for running in self._reading:
            if max_prefill_tokens < 1:
                break
            piece = running.piece(max_prefill_tokens)
            max_prefill_tokens -= len(piece.ids)
            pieces.append((running, piece))
        return pieces

    def _take_step(self, pieces: "list[tuple[PagedSequence, Piece]]") -> None:
        pieces, logits = self._logits(pieces)
        places, place = [], 0
        for running, piece in pieces:
            kept = self._accept(running, logits[place : place + piece.sampled])
            running.table.advance(running.ids, len(piece.ids) - len(running.guess) + kept)
            if running.prompt_logprobs is not None:
                running.prompt_logprobs.add(piece.past, logits[None, place : place + piece.sampled])
            place += piece.sampled
            if not running.unread:
                places.append(place - 1 - len(running.guess) + kept)
        if not places:
            return
        new = [running for running, _ in pieces if not running.unread and running in self._reading]
        self._join(new)
        step = self._sampler.step(logits if len(places) == len(logits) else logits[places])
        tokens = step.tokens.tolist()
        for row, (running, token) in enumerate(zip(self._decoding, tokens, strict=True)):
            running.ids.append(token)
            running.guess = []
            if error := step.errors.get(row):
                running.sequence.settle(error)
            elif not running.sequence.is_settled:
                emit(running.sequence, token, step.logprobs[row], step.top[row])

    def _accept(self, running: PagedSequence, logits: "Tensor") -> int:
        """Emit the tokens of a guess up to the first that the model would not have written; returns how many.

        Args:
            running: whose guess has been read.
            logits: of its last token and of those of the guess, `[1 + guess, vocabulary]`.
        """
        if not running.guess:
            return 0
        best, tokens = logits.max(-1)
        written = zip(running.guess, tokens.tolist(), best.isfinite().tolist(), strict=False)
        kept = 0
        for guess, token, is_finite in written:
            if token != guess or not is_finite or running.sequence.is_settled:
                break
            running.ids.append(token)
            emit(running.sequence, token, None, ())
            kept += 1
        self._observer.guessed(kept, len(running.guess) - kept)
        return kept

    def _join(self, new: Sequence[PagedSequence]) -> None:
        """Let sequences decode whose prompts are read."""
        rows = [replace(running.sequence.row, tokens=tuple(running.sequence.tokens)) for running in new]
        seeds = self._sampler.admit(rows)
        for running, seed in zip(new, seeds, strict=True):
            sequence = running.sequence
            if seed is not None and sequence.params.seed is None:
                sequence.params = replace(sequence.params, seed=seed)
            if running.prompt_logprobs is not None:
                (sequence.prompt_logprobs,), running.prompt_logprobs = running.prompt_logprobs.rows, None
            self._reading.remove(running)
            self._decoding.append(running)

    def _logits(
        self, pieces: "list[tuple[PagedSequence, Piece]]"
    ) -> "tuple[list[tuple[PagedSequence, Piece]], Tensor]":
        """The pieces that could be read, and the logits of their sampled tokens, `[sampled, vocabulary]`.

        If the call fails, each is read by itself, and those that fail again have failed.
        """
        import numpy as np
        import torch

        try:
            return pieces, torch.from_numpy(self._graph([piece for _, piece in pieces]))
        except Exception as error:
            if len(pieces) > 1:
                logger.warning("a step of %d sequences failed; it is repeated one by one: %r", len(pieces), error)
                self._observer.split()
        read, logits = [], []
        for running, piece in pieces:
            try:
                logits.append(self._graph([piece]).copy())
            except Exception as error:
                self._fail([running], error)
                self._drop([running])
            else:
                read.append((running, piece))
        return read, torch.from_numpy(np.concatenate(logits)) if logits else torch.empty(0, 0)

    def _drop(self, leaving: Sequence[PagedSequence]) -> None:
        """Take sequences out, and give back their blocks."""
        if not leaving:
            return
        for running in leaving:
            running.table.release()
        gone = set(leaving)
        staying = [row for row, running in enumerate(self._decoding) if running not in gone]
        if len(staying) < len(self._decoding):
            self._sampler.keep(staying)
            self._decoding = [self._decoding[row] for row in staying]
        self._reading = [running for running in self._reading if running not in gone]

    def _fail(self, failed: Sequence[PagedSequence], error: Exception) -> None:
        logger.error("the model failed on %d sequences", len(failed), exc_info=error)
        for running in failed:
            running.sequence.settle(ForwardFailed("the model failed on this input"))
