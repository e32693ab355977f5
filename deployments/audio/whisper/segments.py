"""What a decoder says to a window of sound, in one pass or several.

A window that ends in the middle of a sentence makes the model close what it has understood with two equal times, and
leave the rest. What it left is then read again, from the later of the two on, until the window is used up: the loop
of Whisper's `generate` (Radford et al. 2022, section 3.8).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deployments.audio.whisper.merge import Stride, WindowTokens

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class TimestampTokens:
    """How a model tells time by tokens.

    Attributes:
        begin: the token of 0 seconds; those behind it count on. None where the model has none.
        positions: of the features, for each of its steps.
    """

    begin: int | None
    positions: int

    def is_time(self, token: int) -> bool:
        return self.begin is not None and token >= self.begin


def complete(tokens: Sequence[int], timestamps: TimestampTokens) -> tuple[int, int | None]:
    """What is kept of a pass, in tokens, and the time, in steps, at which the next one begins; None for no more.

    Args:
        tokens: of the whole pass, without its end token.
        clock: of the model.
    """
    times = [timestamps.is_time(token) for token in tokens]
    closed = _closed(times)
    if not closed or times[-2:] == [False, True]:  # nothing closed; or no speech behind the last time
        return len(tokens), None
    assert timestamps.begin is not None
    return closed, tokens[closed - 2] - timestamps.begin


def stable(tokens: Sequence[int], timestamps: TimestampTokens) -> int:
    """How many of the tokens so far are kept whatever follows: all of them, or up to what was closed last."""
    return _closed([timestamps.is_time(token) for token in tokens]) or len(tokens)


def _closed(times: Sequence[bool]) -> int:
    """Tokens up to the last two times in a row."""
    return next((i + 1 for i in range(len(times) - 1, 0, -1) if times[i] and times[i - 1]), 0)


@dataclass(slots=True, eq=False)
class Window:
    """One window on its way: what each pass over it has kept. Changed on the model thread, read once it is through.

    Attributes:
        features: as the model reads them, `[..., positions]`.
        stride: its length, and what it shares with its neighbours.
        positions: of the features that are not padding.
    """

    features: "torch.Tensor"
    stride: Stride
    positions: int
    _passes: "dict[int, WindowTokens]" = field(default_factory=dict)  # by the position at which each began

    def keep(self, start: int, tokens_of_window: WindowTokens) -> None:
        """What is kept of the pass that began at this position."""
        self._passes[start] = tokens_of_window

    @property
    def tokens_of_window(self) -> WindowTokens:
        """What is kept of all passes."""
        pass_offset = [self._passes[start] for start in sorted(self._passes)]
        return WindowTokens(
            [token for each in pass_offset for token in each.tokens],
            [m for each in pass_offset for m in each.token_times],
        )

    def rest(self, start: int) -> "torch.Tensor":
        """The features from a position on, nothing behind them."""
        import torch

        return torch.nn.functional.pad(self.features[..., start:], (0, start))
