"""ForwardTime: how long the next batch will be in the model, at least, from those that were there last."""

from collections import deque

REMEMBERED = 8  # batches


class ForwardTime:
    """For models whose time grows with what a batch costs.

    A row that would be late by this estimate is late: it is the fastest of the last batches, and small batches take
    longer for what they cost than full ones.
    """

    def __init__(self) -> None:
        self._seconds_per_cost: deque[float] = deque(maxlen=REMEMBERED)

    def note(self, cost: int, seconds: float) -> None:
        """A batch of this cost took so long."""
        self._seconds_per_cost.append(seconds / max(1, cost))

    def at_least(self, cost: int) -> float:
        """Seconds for a batch of this cost; 0 as long as fewer batches ran than are remembered."""
        if len(self._seconds_per_cost) < REMEMBERED:
            return 0.0
        return min(self._seconds_per_cost) * cost
