"""Two clocks: what is measured is told by `time.monotonic`, what a span says by the time of day."""

import time


def of_day(moment: float) -> int:
    """A moment of `time.monotonic()` as nanoseconds since 1970."""
    return time.time_ns() - int((time.monotonic() - moment) * 1e9)
