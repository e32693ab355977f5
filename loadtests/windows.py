"""The offered load over time: windows of a constant rate. Locust reads the number of users from them every second."""

from collections.abc import Sequence
from dataclasses import dataclass

RATE_PER_USER = 0.1  # requests/s of one locust user; many slow users keep the mix of callers even
WARM_UP_S = 2.0  # of a window are left out of the callers' statistics: locust changes its users once a second


@dataclass(frozen=True, slots=True)
class Window:
    """A period with a constant rate.

    Attributes:
        name: in the report.
        begin: seconds since the start of the load.
        end: seconds since the start of the load.
        rate: requests due per second.
    """

    name: str
    begin: float
    end: float
    rate: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def steps(rates: Sequence[float], seconds: float, pause_s: float) -> list[Window]:
    """One rate after another. Requests in flight end in the pauses, so that the metrics of the steps are separate."""
    begins = [number * (seconds + pause_s) for number in range(len(rates))]
    return [Window(f"{rate:g}/s", begin, begin + seconds, rate) for rate, begin in zip(rates, begins, strict=True)]


def spike(rate: float, peak: float, seconds: float) -> list[Window]:
    """A low rate, a peak, and the low rate again: whether and how fast the service recovers."""
    parts = (("before", rate), ("spike", peak), ("right after", rate), ("later", rate))
    return [
        Window(name, number * seconds, (number + 1) * seconds, offered) for number, (name, offered) in enumerate(parts)
    ]


def soak(rate: float, seconds: float, parts: int) -> list[Window]:
    """One rate for a long time, in equal parts: whether anything grows."""
    length = seconds / parts
    return [Window(f"part {number + 1}", number * length, (number + 1) * length, rate) for number in range(parts)]


def rate_at(windows: Sequence[Window], at: float) -> float | None:
    """The offered rate at a time: 0 in a pause, None after the last window."""
    if at >= windows[-1].end:
        return None
    return next((window.rate for window in windows if window.begin <= at < window.end), 0.0)


def users_at(windows: Sequence[Window], at: float) -> int | None:
    """The number of locust users at a time; None after the last window."""
    rate = rate_at(windows, at)
    return None if rate is None else users_for(rate)


def users_for(rate: float) -> int:
    return max(1, round(rate / RATE_PER_USER)) if rate else 0
