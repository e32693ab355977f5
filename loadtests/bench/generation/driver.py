"""Puts a load on whatever generates: requests at their moments (open), or so many always under way (saturated)."""

import queue
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from loadtests.bench.generation.requests import Wanted
from loadtests.bench.generation.streams import Load, Stream

FIRST_LIMIT_S = 60.0
CLEAR_LIMIT_S = 60.0  # for what runs when a load is cut off


class Track:
    """A request under way; whoever generates tells it of its tokens, from one thread."""

    def __init__(self, wanted: Wanted, clock: Callable[[], float], over: "Callable[[Track], None]") -> None:
        self.wanted = wanted
        self.stream = Stream(wanted.at_s, wanted.new)
        self._clock, self._over = clock, over

    def hear(self, tokens: int = 1) -> None:
        """So many more tokens have come, just now."""
        self.stream.heard += [self._clock()] * tokens
        if len(self.stream.heard) == self.wanted.new:
            self._over(self)

    def fail(self, error: str) -> None:
        if not self.stream.is_over:
            self.stream.error = error
            self._over(self)


class Contender(Protocol):
    """What generates."""

    def submit(self, tracks: Sequence[Track]) -> None:
        """Put requests in line, all at once; returns before they are answered."""

    def clear(self) -> None:
        """Drop what is under way; returns once nothing runs any more."""

    def close(self) -> None:
        """End its threads."""


def run_open(contender: Contender, wanted: Sequence[Wanted], drain_s: float) -> Load:
    """Each request at its moment, whatever became of the others; then wait, for at most `drain_s` seconds."""
    over: queue.SimpleQueue[Track] = queue.SimpleQueue()
    began, cpu = time.perf_counter(), time.process_time()
    tracks = [Track(each, lambda: time.perf_counter() - began, over.put) for each in wanted]
    for track in tracks:
        if (early := began + track.wanted.at_s - time.perf_counter()) > 0:
            time.sleep(early)
        contender.submit([track])
    end = time.perf_counter() + drain_s
    for _ in tracks:
        try:
            over.get(timeout=max(0.0, end - time.perf_counter()))
        except queue.Empty:
            break
    return _cut(contender, tracks, began, cpu)


def run_saturated(
    contender: Contender, wanted: Sequence[Wanted], under_way: int, seconds: float, settle_s: float = 0.0
) -> Load:
    """Always `under_way` requests, each that is over replaced by the next, for so many seconds.

    The first `settle_s` of them do not count: rows that have all begun at once read their prompts for tokens to come.
    Where no token has come by the end, it goes on until the first one, for at most `FIRST_LIMIT_S` more.
    """
    over: queue.SimpleQueue[Track] = queue.SimpleQueue()
    began, cpu, since = time.perf_counter(), time.process_time(), 0.0
    tracks = [Track(each, lambda: time.perf_counter() - began, over.put) for each in wanted[:under_way]]
    contender.submit(tracks.copy())
    for each in wanted[under_way:]:
        try:
            over.get(timeout=max(0.0, began + seconds - time.perf_counter()))
        except queue.Empty:
            break
        now = time.perf_counter() - began
        if now >= seconds:
            break
        if since < settle_s <= now:
            since, cpu = now, time.process_time()
        tracks.append(Track(each, lambda: time.perf_counter() - began, over.put))
        contender.submit(tracks[-1:])
    end = began + seconds + FIRST_LIMIT_S
    while not any(track.stream.heard for track in tracks) and time.perf_counter() < end:
        time.sleep(0.01)
    return _cut(contender, tracks, began, cpu, since)


def _cut(contender: Contender, tracks: Sequence[Track], began: float, cpu: float, since: float = 0.0) -> Load:
    """What there is now; what comes while the rest is dropped does not count."""
    ended = time.perf_counter() - began
    streams = [
        Stream(each.stream.due, each.stream.wanted, each.stream.heard.copy(), each.stream.error) for each in tracks
    ]
    used = time.process_time() - cpu
    contender.clear()
    return Load(streams, ended, used, since)


def wait_for(done: Callable[[], bool], limit_s: float = CLEAR_LIMIT_S) -> None:
    """Poll until `done`.

    Raises:
        TimeoutError: it was not within the limit.
    """
    end = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"still running {limit_s:.0f} s after everything was dropped")
        time.sleep(0.01)
