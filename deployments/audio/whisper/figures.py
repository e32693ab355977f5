"""Figures of a pass: how likely its tokens were, and whether the model heard speech at all.

They are openai/whisper's (`DecodingResult`), which decide whether a pass is repeated or dropped.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from deployments.generation.sampling.row import RowProcessor

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Figures:
    """How a pass was decoded.

    Attributes:
        temperature: that its tokens were sampled at; 0 for the likeliest ones.
        avg_logprob: mean of the natural log-probabilities of its tokens, of those that the rules allow.
        compression_ratio: of its text; a text that repeats itself has a high one.
        no_speech_prob: of the token that means silence, before the text; None if the model has no such token.
    """

    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float | None


def compression_ratio(text: str) -> float:
    """Length of a text in UTF-8, relative to its length compressed by zlib."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


class FiguresRecorder:
    """Records what the figures of a pass are made of, around its logits processor.

    Args:
        prompt_length: tokens of the decoder prompt that are not generated; the last one starts the transcript.
        generated: tokens of the decoder prompt that are generated.
        no_speech: token that means silence; None if there is none.
    """

    def __init__(self, prompt_length: int, generated: int, no_speech: int | None) -> None:
        self._prompt_length, self._generated, self._no_speech = prompt_length, generated, no_speech
        self._no_speech_prob: Tensor | None = None
        self._logprobs: dict[int, Tensor] = {}  # of the tokens of the text, by position; scalars on the device
        self._last: tuple[int, Tensor] | None = None  # position, and log-probabilities of all tokens there

    def around(self, processor: RowProcessor) -> RowProcessor:
        """A processor that returns what this one returns. It must get the model's own scores and apply all rules."""
        return partial(self._process, processor)

    def _process(self, processor: RowProcessor, ids: "Tensor", scores: "Tensor") -> "Tensor":
        position = ids.shape[1] - self._prompt_length
        if position == 0 and self._no_speech is not None:
            self._no_speech_prob = scores[0].float().softmax(-1)[self._no_speech]
        if self._last is not None and self._last[0] == position - 1:
            self._take(ids[0, -1])
        processed = processor(ids, scores)
        if position >= self._generated:
            self._last = position, processed[0].float().log_softmax(-1)
        return processed

    def figures(self, tokens: Sequence[int], text: str, temperature: float) -> Figures:
        """The figures of the finished pass.

        Args:
            tokens: all generated tokens, with the one that ended the pass.
            text: of the pass.
            temperature: that the tokens were sampled at.
        """
        import torch

        if self._last is not None and self._last[0] == len(tokens) - 1:
            self._take(torch.tensor(tokens[-1]))
        logprobs = torch.stack(list(self._logprobs.values())) if self._logprobs else torch.zeros(1)
        silence = self._no_speech_prob
        return Figures(
            temperature,
            float(logprobs.mean()),
            compression_ratio(text),
            None if silence is None else float(silence),
        )

    def _take(self, token: "Tensor") -> None:
        """Record the log-probability of the token that was chosen at the last position."""
        assert self._last is not None
        position, logs = self._last
        self._logprobs[position] = logs[token.to(logs.device)]
