"""What a decoder says to a window of sound, in one pass or several.

A window that ends in the middle of a sentence makes the model close what it has understood with two equal times, and
leave the rest. What it left is then read again, from the later of the two on, until the window is used up: the loop
of Whisper's `generate` (Radford et al. 2022, section 3.8).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deployments.audio.whisper.merge import Heard, Stride

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Clock:
    """How a model tells time by tokens.

    Attributes:
        begin: the token of 0 seconds; those behind it count on. None where the model has none.
        positions: of the features, for each of its steps.
    """

    begin: int | None
    positions: int

    def is_time(self, token: int) -> bool:
        return self.begin is not None and token >= self.begin


def kept(tokens: Sequence[int], clock: Clock) -> tuple[int, int | None]:
    """What is kept of a pass, in tokens, and the time, in steps, at which the next one begins; None for no more.

    Args:
        tokens: of the whole pass, without its end token.
        clock: of the model.
    """
    times = [clock.is_time(token) for token in tokens]
    closed = _closed(times)
    if not closed or times[-2:] == [False, True]:  # nothing closed; or no speech behind the last time
        return len(tokens), None
    assert clock.begin is not None
    return closed, tokens[closed - 2] - clock.begin


def settled(tokens: Sequence[int], clock: Clock) -> int:
    """How many of the tokens so far are kept whatever follows: all of them, or up to what was closed last."""
    return _closed([clock.is_time(token) for token in tokens]) or len(tokens)


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
    _passes: "dict[int, Heard]" = field(default_factory=dict)  # by the position at which each began

    def keep(self, start: int, heard: Heard) -> None:
        """What is kept of the pass that began at this position."""
        self._passes[start] = heard

    @property
    def heard(self) -> Heard:
        """What is kept of all passes."""
        passes = [self._passes[start] for start in sorted(self._passes)]
        return Heard([token for each in passes for token in each.tokens], [m for each in passes for m in each.moments])

    def rest(self, start: int) -> "torch.Tensor":
        """The features from a position on, nothing behind them."""
        import torch

        return torch.nn.functional.pad(self.features[..., start:], (0, start))
