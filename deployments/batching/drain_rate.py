"""DrainRate: the rate at which requests in progress are completed, and so how long a queue takes to drain.

Time counts only while something is in progress. It is cut into windows of at least `WINDOW_S`, each with the amount
that was completed, its seconds, and its load (the mean amount in progress). The rate is the amount completed over the
seconds of all windows, where each window is

- weighted by its load, since batches fill with the queue: the throughput of one caller at a time says nothing about a
  hundred, and a second with a long queue outweighs minutes with a short one;
- discounted exponentially over the last `MEMORY_S` seconds or `MEMORY_COUNT` bursts, whichever is longer.

A batch completes in one burst. A window ends in the gap behind a burst and never within one, so that a burst counts
with the time that it took. The current window counts once it is twice as long as the last one: the rate falls where
nothing completes any more.

A rate measured with a short queue does not predict a long one; see `is_measured_for`.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 0.25
BURST_GAP_S = 0.005  # a longer gap separates two bursts
MAX_BURST_S = 1.0  # without gaps, requests complete evenly, and a window may end at any moment
MEMORY_S = 3.0
MEMORY_COUNT = 16
MIN_LOAD_SHARE = 0.25  # the measured load, over a queue's length, from which on the rate predicts it

MAX_RETRY_S = 60  # clients take more for a mistake and choose a pause of their own


@dataclass(slots=True)
class _Window:
    """What was completed in a period."""

    seconds: float = 0.0
    area: float = 0.0  # amount in progress times seconds
    done: float = 0.0
    bursts: int = 0  # of completions
    first: float = 0.0  # time of the first completion
    last: float = 0.0

    @property
    def load(self) -> float:
        return self.area / self.seconds if self.seconds else 0.0


class DrainRate:
    """Measures the drain rate of requests, or of another unit such as bytes. Not thread-safe.

    Args:
        clock: seconds.

    Attributes:
        in_progress: the amount that has entered and not left.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()  # time is counted up to here
        self._window = _Window()
        # Sums over the windows that have ended, weighted by load and age.
        self._seconds = self._done = self._load_seconds = 0.0
        self._last_window_s = 0.0  # seconds of the last window that has ended
        self.in_progress = 0.0

    def enter(self, amount: float = 1) -> None:
        """Add to the amount in progress."""
        self._advance()
        self.in_progress += amount

    def leave(self, amount: float = 1, *, done: bool) -> None:
        """Subtract from the amount in progress.

        Args:
            amount: that leaves.
            done: it was completed, rather than given up.
        """
        now = self._advance()
        self.in_progress -= amount
        if done:
            window = self._window
            window.first = window.first if window.bursts else now
            window.last = now
            window.done += amount
            window.bursts += 1

    @property
    def per_second(self) -> float | None:
        """The rate; None before the first window has ended."""
        if not self._seconds:
            return None
        self._advance()
        load, window = self._window.load, self._window
        if window.seconds <= 2 * self._last_window_s:
            return self._done / self._seconds
        return (self._done + load * window.done) / (self._seconds + load * window.seconds)

    def is_measured_for(self, amount: float) -> bool:
        """Whether the rate was measured under a load comparable with a queue of this length."""
        return bool(self._seconds) and self._load_seconds / self._seconds >= MIN_LOAD_SHARE * amount

    def seconds_for(self, amount: float) -> float | None:
        """Seconds until this amount is completed; None if unknown."""
        rate = self.per_second
        return amount / rate if rate and self.is_measured_for(amount) else None

    def retry_after(self) -> int:
        """`Retry-After` in seconds: when the amount in progress now will be completed.

        One second if unknown: a client that returns too early gets a better estimate then.
        """
        seconds = self.seconds_for(self.in_progress) or 0.0
        return min(max(math.ceil(seconds), 1), MAX_RETRY_S)

    def _advance(self) -> float:
        now = self._clock()
        if self._window_is_over(now):
            self._close()
        if self.in_progress > 0:
            self._window.seconds += now - self._at
            self._window.area += self.in_progress * (now - self._at)
        self._at = now
        return now

    def _window_is_over(self, now: float) -> bool:
        window = self._window
        if not window.bursts or window.seconds < WINDOW_S:
            return False
        return now - window.last >= BURST_GAP_S or now - window.first >= MAX_BURST_S

    def _close(self) -> None:
        window, load = self._window, self._window.load
        decay = math.exp(-min(window.seconds / MEMORY_S, window.bursts / MEMORY_COUNT))
        self._done = decay * self._done + load * window.done
        self._seconds = decay * self._seconds + load * window.seconds
        self._load_seconds = decay * self._load_seconds + load * load * window.seconds
        self._last_window_s = window.seconds
        self._window = _Window()
