"""A row of the sampler: RowSpec, what it is admitted with, and RowState, its options and number of tokens."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deployments.generation.sampling.params import SamplingParams

if TYPE_CHECKING:
    from torch import Tensor

# Token ids [1, length] and scores [1, vocabulary] of one row to scores of the same shape, float32. The interface of
# transformers' `LogitsProcessor`, so that a model's own (Whisper's for timestamps) works unchanged.
RowProcessor = Callable[["Tensor", "Tensor"], "Tensor"]

FRESH_SEED_BITS = 53  # integers that every JSON reader represents exactly


@dataclass(frozen=True, slots=True)
class RowSpec:
    """A row to admit.

    Attributes:
        params: its options.
        prompt: token ids of the decoder's prompt, which repetition penalty, n-grams and bad words include.
        tokens: of its answer that were sampled before, of a row that goes on after preemption.
        processor: of this row alone; runs where `generate` runs a caller's own, between suppression and temperature.
        seed: the request's, or a fresh one.
    """

    params: SamplingParams
    prompt: Sequence[int]
    processor: RowProcessor | None = None
    tokens: Sequence[int] = ()
    seed: int = field(init=False)

    def __post_init__(self) -> None:
        seed = secrets.randbits(FRESH_SEED_BITS) if self.params.seed is None else self.params.seed
        object.__setattr__(self, "seed", seed)  # the dataclass is frozen


@dataclass(slots=True, eq=False)
class RowState:
    """A row that has been admitted.

    Attributes:
        seed: of its `RowSpec`.
        prompt_length: in tokens.
        generated: tokens chosen so far.
    """

    params: SamplingParams
    seed: int
    prompt_length: int
    processor: RowProcessor | None
    generated: int = 0

    @property
    def uses_history(self) -> bool:
        """Whether its tokens must be in the `TokenHistory`."""
        return self.params.uses_history or self.processor is not None
