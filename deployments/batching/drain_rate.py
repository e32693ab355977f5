"""DrainRate: how fast what is under way gets done, and so how long a line takes.

Method. Time counts while something is under way; an idle hour says nothing. It is cut into windows of at least
`WINDOW_S`, each with what was done in it, its seconds, and its load: how much was under way on average. The rate is
what was done over the seconds of all windows,

- each weighted by its load, since batches fill as the line does: what one caller at a time gets done says nothing of a
  hundred, and a second with a long line outweighs minutes with a short one;
- fading over the last `MEMORY_S` seconds under way or `MEMORY_COUNT` of what was done, whichever is longer.

A batch is done in one burst. A window ends in the silence behind a burst and never within one, so that the burst counts
with the time that it took. The window that runs counts as soon as it takes twice as long as the one before: where
nothing gets done any more, the rate falls.

A rate from a short line is no guess for a long one: `is_sure_of` says whether a line like this one was measured.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 0.25
SILENCE_S = 0.005  # after which what is done belongs to another burst
LONGEST_BURST_S = 1.0  # where there is no silence, things get done evenly, and any moment is as good
MEMORY_S = 3.0
MEMORY_COUNT = 16
SURE_SHARE = 0.25  # of a line's length that the measured load must have

MOST_RETRY_S = 60  # clients take longer ones for a mistake and choose a pause of their own


@dataclass(slots=True)
class _Window:
    """What was done in some time under way."""

    seconds: float = 0.0
    area: float = 0.0  # what was under way, times how long
    done: float = 0.0
    times: int = 0  # how often something was done
    first: float = 0.0  # when something was done
    last: float = 0.0

    @property
    def load(self) -> float:
        return self.area / self.seconds if self.seconds else 0.0


class DrainRate:
    """Told what comes and what is done: requests, or another unit such as bytes. For one thread.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()  # up to when time is counted
        self._window = _Window()
        # Sums over the windows that have ended, weighted by load and age.
        self._seconds = self._done = self._load_seconds = 0.0
        self._usual = 0.0  # seconds of the last window that has ended
        self.under_way = 0.0

    def enter(self, amount: float = 1) -> None:
        """So much more is under way."""
        self._advance()
        self.under_way += amount

    def leave(self, amount: float = 1, *, done: bool) -> None:
        """So much is under way no more; `done`: because it was dealt with, not given up."""
        now = self._advance()
        self.under_way -= amount
        if done:
            window = self._window
            window.first = window.first if window.times else now
            window.last = now
            window.done += amount
            window.times += 1

    @property
    def per_second(self) -> float | None:
        """The rate; None as long as there is none."""
        if not self._seconds:
            return None
        self._advance()
        load, window = self._window.load, self._window
        if window.seconds <= 2 * self._usual:
            return self._done / self._seconds
        return (self._done + load * window.done) / (self._seconds + load * window.seconds)

    def is_sure_of(self, amount: float) -> bool:
        """Whether the rate was measured with a line that compares with one of this length."""
        return bool(self._seconds) and self._load_seconds / self._seconds >= SURE_SHARE * amount

    def seconds_for(self, amount: float) -> float | None:
        """How long so much takes to get done; None where that is not known."""
        rate = self.per_second
        return amount / rate if rate and self.is_sure_of(amount) else None

    def retry_after(self) -> int:
        """For `Retry-After`: when what is under way now will be done.

        A second where that is not known: who comes too early is told better then.
        """
        seconds = self.seconds_for(self.under_way) or 0.0
        return min(max(math.ceil(seconds), 1), MOST_RETRY_S)

    def _advance(self) -> float:
        now = self._clock()
        if self._window_is_over(now):
            self._close()
        if self.under_way > 0:
            self._window.seconds += now - self._at
            self._window.area += self.under_way * (now - self._at)
        self._at = now
        return now

    def _window_is_over(self, now: float) -> bool:
        window = self._window
        if not window.times or window.seconds < WINDOW_S:
            return False
        return now - window.last >= SILENCE_S or now - window.first >= LONGEST_BURST_S

    def _close(self) -> None:
        window, load = self._window, self._window.load
        kept = math.exp(-min(window.seconds / MEMORY_S, window.times / MEMORY_COUNT))
        self._done = kept * self._done + load * window.done
        self._seconds = kept * self._seconds + load * window.seconds
        self._load_seconds = kept * self._load_seconds + load * load * window.seconds
        self._usual = window.seconds
        self._window = _Window()
