"""A window of audio is decoded in one pass or several.

If a window ends in the middle of a sentence, the model closes the last complete segment with two equal timestamps and
leaves the rest. Another pass starts at the later of the two timestamps, until the window is used up: the loop of
Whisper's `generate` (Radford et al. 2022, section 3.8).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deployments.audio.whisper.merge import Stride, WindowTokens

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


@dataclass(slots=True, eq=False)
class Window:
    """A window and the tokens of its passes. Written on the model thread, read after the last pass.

    Attributes:
        features: input features, `[..., positions]`.
        stride: length of the window and its overlaps.
        positions: feature positions that are not padding.
    """

    features: "torch.Tensor"
    stride: Stride
    positions: int
    _passes: dict[int, WindowTokens] = field(default_factory=dict)  # by start position

    def add_pass(self, start: int, window_tokens: WindowTokens) -> None:
        """Add the tokens of the pass that began at position `start`."""
        self._passes[start] = window_tokens

    @property
    def window_tokens(self) -> WindowTokens:
        """The tokens of all passes."""
        passes = [self._passes[start] for start in sorted(self._passes)]
        return WindowTokens(
            [token for each in passes for token in each.tokens],
            [time for each in passes for time in each.token_times],
        )

    def rest(self, start: int) -> "torch.Tensor":
        """The features from a position on, padded with zeros to the length of the window."""
        import torch

        return torch.nn.functional.pad(self.features[..., start:], (0, start))
