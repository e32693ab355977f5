"""A row of the sampler: what it was admitted with, and how far it has come."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deployments.generation.sampling.params import SamplingParams

if TYPE_CHECKING:
    from torch import Tensor

# Of one row: token ids [1, length] and scores [1, vocabulary] to scores of the same shape, float32. The interface of
# transformers' `LogitsProcessor`, so that a model's own (Whisper's for timestamps) can be used as it is.
RowProcessor = Callable[["Tensor", "Tensor"], "Tensor"]

FRESH_SEED_BITS = 53  # a number that every JSON reader keeps exactly


@dataclass(frozen=True, slots=True)
class RowSpec:
    """A row to admit.

    Attributes:
        params: its options.
        prompt: token ids that the decoder read before its first own token: the prompt of a decoder-only model, the
            prefix of an encoder-decoder. Repetition, n-grams and bad words see them.
        processor: of this row alone; runs where `generate` runs a caller's own, between suppression and temperature.
        seed: the request's, or a fresh one that stays: a row that is admitted again gets the same tokens again.
    """

    params: SamplingParams
    prompt: Sequence[int]
    processor: RowProcessor | None = None
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
        """Whether its tokens have to be remembered."""
        return self.params.uses_history or self.processor is not None
