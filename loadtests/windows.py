"""How much load there is when: stretches of one offered rate, made from a shape. Pure; locust asks it every second."""

from collections.abc import Sequence
from dataclasses import dataclass

RATE_PER_USER = 0.1  # requests/s that each of locust's users sends; many slow ones keep the mix of callers even
START_S = 2.0  # of a stretch do not count in figures of callers: locust changes its users once a second


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time with one offered load.

    Attributes:
        name: what it is called in the report.
        begin: seconds since the load began.
        end: seconds since the load began.
        rate: requests that are due, per second.
    """

    name: str
    begin: float
    end: float
    rate: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def steps(rates: Sequence[float], seconds: float, pause_s: float) -> list[Window]:
    """One rate after the other. In the pauses what is under way ends, so that each step's metrics are its own."""
    begins = [number * (seconds + pause_s) for number in range(len(rates))]
    return [Window(f"{rate:g}/s", begin, begin + seconds, rate) for rate, begin in zip(rates, begins, strict=True)]


def spike(rate: float, peak: float, seconds: float) -> list[Window]:
    """Calm, many times as much at once, and calm again: whether and how fast it recovers."""
    parts = (("before", rate), ("spike", peak), ("right after", rate), ("later", rate))
    return [
        Window(name, number * seconds, (number + 1) * seconds, offered) for number, (name, offered) in enumerate(parts)
    ]


def soak(rate: float, seconds: float, parts: int) -> list[Window]:
    """The same for long, cut into equal parts: whether anything grows."""
    length = seconds / parts
    return [Window(f"part {number + 1}", number * length, (number + 1) * length, rate) for number in range(parts)]


def rate_at(windows: Sequence[Window], at: float) -> float | None:
    """What is offered at a moment, 0 in a pause; None when all is over."""
    if at >= windows[-1].end:
        return None
    return next((window.rate for window in windows if window.begin <= at < window.end), 0.0)


def users_at(windows: Sequence[Window], at: float) -> int | None:
    """How many users locust is to have at a moment."""
    rate = rate_at(windows, at)
    return None if rate is None else users_for(rate)


def users_for(rate: float) -> int:
    return max(1, round(rate / RATE_PER_USER)) if rate else 0
