"""Waiting for something to be so, in place of sleeping for as long as it might take."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

# Much longer than anything takes. While a service loads thirteen models beside them from a cold disk, tests stand still
# for minutes: one that takes 1.6 s took more than 120.
PATIENCE_S = 300.0
Seen = TypeVar("Seen")


def until(look: Callable[[], Seen], seconds: float = PATIENCE_S, *, every: float = 0.05, what: object = "") -> Seen:
    """Look again and again until what is seen counts as true; give that.

    Raises:
        AssertionError: it was not in so many seconds.
    """
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"not in {seconds:g} s: {what or look}; last seen {seen!r}"
        time.sleep(every)
    return seen


async def until_async(look: Callable[[], Seen], seconds: float = PATIENCE_S, *, what: object = "") -> Seen:
    """The same, while others of the loop go on."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"not in {seconds:g} s: {what or look}; last seen {seen!r}"
        await asyncio.sleep(0.005)
    return seen
