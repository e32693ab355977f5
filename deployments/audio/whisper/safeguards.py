"""openai/whisper's safeguards: what a pass must be like to be kept, and how it is repeated if it is not.

A pass whose text repeats itself, or whose tokens are unlikely, is decoded again at a higher temperature (Radford et al.
2022, section 4.5). A pass in which the model heard no speech is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.audio.whisper.figures import Figures

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
COMPRESSION_RATIO = 2.4
LOGPROB = -1.0
NO_SPEECH = 0.6


@dataclass(frozen=True, slots=True)
class Safeguards:
    """The conditions of one request; None turns a condition off.

    Attributes:
        temperatures: of the attempts.
        compression_ratio: a text with a higher ratio repeats itself.
        logprob: a lower mean log-probability is too unlikely.
        no_speech: a higher probability of silence, with tokens that are too unlikely, means silence.
    """

    temperatures: tuple[float, ...] = TEMPERATURES
    compression_ratio: float | None = COMPRESSION_RATIO
    logprob: float | None = LOGPROB
    no_speech: float | None = NO_SPEECH

    def rejects(self, figures: Figures) -> bool:
        """Whether a pass is to be decoded again at the next temperature."""
        if self.is_silence(figures):
            return False
        return self._repeats(figures) or self._is_unlikely(figures)

    def is_silence(self, figures: Figures) -> bool:
        """Whether a pass is to be dropped, since the model heard nobody speak."""
        silence = figures.no_speech_prob
        if self.no_speech is None or silence is None or silence <= self.no_speech:
            return False
        return self.logprob is None or self._is_unlikely(figures)

    def best(self, attempts: Sequence[Figures]) -> int:
        """The index of the attempt that is kept if all are rejected: as in faster-whisper, the likeliest one.

        Attempts that do not repeat themselves come before those that do. openai/whisper keeps the last one.
        """
        figures = list(enumerate(attempts))
        single = [each for each in figures if not self._repeats(each[1])]
        return max(single or figures, key=lambda each: each[1].avg_logprob)[0]

    def _repeats(self, figures: Figures) -> bool:
        return self.compression_ratio is not None and figures.compression_ratio > self.compression_ratio

    def _is_unlikely(self, figures: Figures) -> bool:
        return self.logprob is not None and figures.avg_logprob < self.logprob
