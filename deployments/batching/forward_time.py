"""ForwardTime: a lower bound for the time of the next batch in the model, from the last ones."""

from collections import deque

SAMPLES = 8  # of the last batches


class ForwardTime:
    """For models whose time grows with a batch's cost.

    The estimate is that of the fastest of the last batches per unit of cost. Small batches take longer per unit than
    full ones, so a row that misses its deadline by this estimate will miss it.
    """

    def __init__(self) -> None:
        self._seconds_per_cost: deque[float] = deque(maxlen=SAMPLES)

    def record(self, cost: int, seconds: float) -> None:
        """Record the time of a batch."""
        self._seconds_per_cost.append(seconds / max(1, cost))

    def estimate(self, cost: int) -> float:
        """Seconds for a batch of this cost, at least; 0 before `SAMPLES` batches have run."""
        if len(self._seconds_per_cost) < SAMPLES:
            return 0.0
        return min(self._seconds_per_cost) * cost
