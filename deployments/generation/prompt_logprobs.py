"""PromptLogprobs: log-probabilities of a prompt's own tokens, taken while it is read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deployments.generation.sampling.log_probabilities import TokenLogprob, log_probabilities
from deployments.generation.sampling.params import SamplingParams

if TYPE_CHECKING:
    from torch import Tensor

POSITIONS = 64  # of which the distributions are in memory at once

PromptLogprob = tuple[float | None, Sequence[TokenLogprob]]  # of a token, and the likeliest tokens at its position


class PromptLogprobs:
    """Log-probabilities of the tokens of prompts that are read together.

    Args:
        ids: `[rows, length]`, padded on the left.
        lengths: of the prompts, without padding.
        params: of the rows, of which some want them.

    Attributes:
        rows: for each row, of each of its tokens; the first has none. Empty for rows that do not want them.
    """

    def __init__(self, ids: "Tensor", lengths: Sequence[int], params: Sequence[SamplingParams]) -> None:
        self._ids = ids
        self._starts = [ids.shape[1] - length for length in lengths]
        self._params = params
        self.rows: list[list[PromptLogprob]] = [[(None, ())] if each.prompt_logprobs else [] for each in params]

    @property
    def are_wanted(self) -> bool:
        return any(self.rows)

    def add(self, first: int, logits: "Tensor") -> None:
        """Take those of the tokens behind the next positions.

        Args:
            first: position of the first of the logits; padding counts.
            logits: `[rows, positions, vocabulary]`.
        """
        for row, (params, start) in enumerate(zip(self._params, self._starts, strict=True)):
            if not params.prompt_logprobs:
                continue
            end = min(first + logits.shape[1], self._ids.shape[1] - 1)  # the last position predicts no prompt token
            for begin in range(max(first, start), end, POSITIONS):
                stop = min(begin + POSITIONS, end)
                scores = logits[row, begin - first : stop - first].float()
                tops = [params.top_n_tokens] * (stop - begin)
                self.rows[row] += log_probabilities(scores, self._ids[row, begin + 1 : stop + 1], tops)
