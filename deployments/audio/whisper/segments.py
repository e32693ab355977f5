"""A window of audio is decoded in one pass or several.

If a window ends in the middle of a sentence, the model closes the last complete segment with two equal timestamps and
leaves the rest. Another pass starts at the later of the two timestamps, until the window is used up: the loop of
Whisper's `generate` (Radford et al. 2022, section 3.8).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deployments.audio.whisper.figures import Figures
from deployments.audio.whisper.merge import Stride, WindowTokens
from deployments.audio.whisper.speech_windows import Clock

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class TimestampTokens:
    """A model's timestamp tokens.

    Attributes:
        begin: the token of 0 seconds, the first of the timestamp tokens. None if the model has none.
        positions: feature positions for each timestamp step.
    """

    begin: int | None
    positions: int

    def is_time(self, token: int) -> bool:
        return self.begin is not None and token >= self.begin


def complete(tokens: Sequence[int], timestamps: TimestampTokens) -> tuple[int, int | None]:
    """How many tokens of a pass to keep, and the timestamp step at which the next pass begins (None: no further pass).

    Args:
        tokens: tokens of the whole pass, without the end token.
        timestamps: timestamp tokens of the model.
    """
    times = [timestamps.is_time(token) for token in tokens]
    closed = _closed(times)
    if not closed or times[-2:] == [False, True]:  # no closed segment; or no speech after the last timestamp
        return len(tokens), None
    assert timestamps.begin is not None
    return closed, tokens[closed - 2] - timestamps.begin


def stable(tokens: Sequence[int], timestamps: TimestampTokens) -> int:
    """How many of the tokens so far are kept whatever follows: those up to the last closed segment, or all of them."""
    return _closed([timestamps.is_time(token) for token in tokens]) or len(tokens)


def _closed(times: Sequence[bool]) -> int:
    """Tokens up to the last two consecutive timestamps."""
    return next((i + 1 for i in range(len(times) - 1, 0, -1) if times[i] and times[i - 1]), 0)


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over a window.

    Attributes:
        start: position in the window at which it began.
        window_tokens: the tokens that are kept.
        figures: how it was decoded, if that was recorded.
    """

    start: int
    window_tokens: WindowTokens
    figures: Figures | None = None


@dataclass(slots=True, eq=False)
class Window:
    """Audio that one row reads, in one pass or several. Written on the model thread, read after the last pass.

    Attributes:
        features: input features, `[..., positions]`; more than the model reads in a pass if the audio is longer.
        stride: length of the window and its overlaps.
        positions: feature positions that are not padding.
        size: feature positions of a pass.
        clock: maps its seconds to those of the recording.
        is_silent: nobody speaks in it; its text is empty.
        language: token of the language that was detected or requested, once it is known.
    """

    features: "torch.Tensor"
    stride: Stride
    positions: int
    size: int
    clock: Clock = field(default_factory=Clock)
    is_silent: bool = False
    language: int | None = None
    _passes: dict[int, Pass] = field(default_factory=dict)  # by start position

    def add_pass(self, finished: Pass) -> None:
        """Add a pass, or replace the one that began at the same position."""
        self._passes[finished.start] = finished

    @property
    def passes(self) -> list[Pass]:
        """The passes so far, in order."""
        return [finished for _, finished in sorted(self._passes.copy().items())]

    @property
    def window_tokens(self) -> WindowTokens:
        """The tokens of all passes."""
        passes = [each.window_tokens for each in self.passes]
        return WindowTokens(
            [token for each in passes for token in each.tokens],
            [time for each in passes for time in each.token_times],
        )

    def rest(self, start: int) -> "torch.Tensor":
        """The features of a pass that begins at a position, padded with zeros to the length of a pass."""
        import torch

        features = self.features[..., start : start + self.size]
        return torch.nn.functional.pad(features, (0, self.size - features.shape[-1]))

    def has_more(self, start: int) -> bool:
        """Whether another pass can begin at a position.

        A window that fits into one pass is read up to the end of its padding, as `generate` does.
        """
        total = self.features.shape[-1]
        return start < (total if total <= self.size else self.positions)
