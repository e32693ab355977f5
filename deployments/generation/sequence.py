"""Prompt and GenerationSequence: what an engine starts from, and the tokens that it appends."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Literal

from deployments.batching.job import Settleable
from deployments.generation.prompt_logprobs import PromptLogprob
from deployments.generation.sampling.log_probabilities import TokenLogprob
from deployments.generation.sampling.params import DEFAULT_NEW_TOKENS, UNBOUNDED, SamplingParams
from deployments.generation.sampling.row import RowProcessor, RowSpec

if TYPE_CHECKING:
    import torch

FIRST_RESERVATION = DEFAULT_NEW_TOKENS  # new tokens that an open-ended sequence reserves when it joins

Finish = Literal["eos", "length", "stop"]
OnToken = Callable[["GenerationSequence", int, float | None, Sequence[TokenLogprob]], bool | None]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one sequence starts from.

    Attributes:
        ids: token ids of the decoder's prompt: the text for a decoder-only model, the start token (and forced ones) for
            a model with an encoder. At least one.
        inputs: other inputs of the model's forward, one row of each without a batch dimension: the encoder's
            `input_ids`, `pixel_values`, `input_features` (with their `attention_mask`, if the model takes one).
        source_slots: KV slots that `inputs` take in the cache: the encoder's output length, or an image's slots before
            the text. Follows from `input_ids`; for anything else the task must set it.
        joined: names of inputs that a batch concatenates rather than stacks: those with all images of a batch, or
            their patches, in one dimension.
    """

    ids: Sequence[int]
    inputs: "Mapping[str, torch.Tensor]" = field(default_factory=dict)
    source_slots: int = 0
    joined: frozenset[str] = frozenset()

    @property
    def source(self) -> int:
        """KV slots of the inputs."""
        return self.source_slots or (len(self.inputs["input_ids"]) if "input_ids" in self.inputs else 0)

    @property
    def shape(self) -> Hashable:
        """Prompts of equal shape can be prefilled together: text of any length, other inputs of equal size."""
        if not self.inputs or "input_ids" in self.inputs:
            return None
        # Padding between an image and the text behind it would be a hole in the row's columns.
        length = len(self.ids) if self.source_slots else None
        return length, tuple((name, tuple(value.shape)) for name, value in sorted(self.inputs.items()))


@dataclass(slots=True, eq=False)
class GenerationSequence(Settleable):
    """One sequence, waiting or running. `on_token` and `done` are called on the model thread and must not block.

    Attributes:
        prompt: what it starts from.
        params: how its tokens are sampled, and what ends it: a token of `eos_token_ids`, which is emitted ("eos"), or
            `max_new_tokens` ("length"). If it samples without a seed, a fresh one is set when it joins the batch.
        processor: logits processor of this sequence alone; see `RowSpec`.
        is_open_ended: it reserves KV slots as it grows; others reserve `max_new_tokens` before they join.
        on_token: called with every token, its log-probability and the top tokens, as the sampler's `Step` has them;
            returning True ends the sequence with "stop".
        tokens: sampled so far.
        prompt_logprobs: of the prompt's tokens, if requested, once they are read.
        finish: why it ended; None before, and after an error.
        reserved_tokens: new tokens for which it reserves KV slots; more as it grows, if it is open-ended.
        first_token: when its first token was sampled.
    """

    prompt: Prompt
    params: SamplingParams
    _: KW_ONLY
    processor: RowProcessor | None = None
    is_open_ended: bool = False
    on_token: OnToken = lambda sequence, token, logprob, top: None
    tokens: list[int] = field(default_factory=list)
    prompt_logprobs: Sequence[PromptLogprob] = ()
    finish: Finish | None = None
    reserved_tokens: int = field(init=False)
    first_token: float = 0.0

    def __post_init__(self) -> None:
        self.reserved_tokens = min(self.max_new_tokens, FIRST_RESERVATION if self.is_open_ended else UNBOUNDED)

    def reserve_more(self) -> int:
        """Reserve twice as many new tokens, at most `max_new_tokens`; returns how many more these are."""
        before, self.reserved_tokens = self.reserved_tokens, min(self.max_new_tokens, 2 * self.reserved_tokens)
        return self.reserved_tokens - before

    def settle(
        self, error: BaseException | None = None, finished: float | None = None, finish: Finish | None = None
    ) -> bool:
        """End it with a finish reason or an error. Returns whether this call did."""
        with self.lock:
            if self.is_settled:
                return False
            self.is_settled, self.error, self.finish = True, error, finish
        self._finish(finished)
        return True

    def emit(self, token: int, logprob: float | None, top: Sequence[TokenLogprob]) -> None:
        """Deliver a sampled token, and settle the sequence if it ends with it.

        Raises:
            Exception: whatever `on_token` raises.
        """
        self.tokens.append(token)
        self.first_token = self.first_token or time.monotonic()
        stop = self.on_token(self, token, logprob, top)
        if token in self.params.eos_token_ids:
            self.settle(finish="eos")
        elif stop:
            self.settle(finish="stop")
        elif len(self.tokens) >= self.max_new_tokens:
            self.settle(finish="length")

    @property
    def max_new_tokens(self) -> int:
        return self.params.max_new_tokens

    @property
    def row(self) -> RowSpec:
        """What the sampler admits."""
        return RowSpec(self.params, self.prompt.ids, self.processor)

    @property
    def max_total_tokens(self) -> int:
        """Columns of self-attention that it has reserved, the last token included, although it is never read."""
        return len(self.prompt.ids) + self.reserved_tokens
