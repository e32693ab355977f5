"""The figures of a load test: what callers saw in each window, and what the service said of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadtests.load.percentiles import percentile
from loadtests.load.records import Record
from loadtests.load.statistics import Level, level
from loadtests.plan import Plan
from loadtests.service.metrics import Measured, Sums, between, of_all
from loadtests.traffic.callers import CALLERS
from loadtests.windows import START_S, Window

PERCENTILES = (50, 90, 99)
ALL = "all callers"


@dataclass(frozen=True, slots=True)
class Seen:
    """What callers of one kind saw in a window. Times in seconds, from when a request was due.

    Attributes:
        caller: which kind; `ALL` for all of them.
        level: rates, shares and errors.
        latency: of answered requests, by the percentile.
        first_token: of streams, by the percentile; empty without any.
        token: between tokens of a stream, by the percentile; empty without any.
        requests: how many were due.
    """

    caller: str
    level: Level
    latency: Mapping[int, float]
    first_token: Mapping[int, float]
    token: Mapping[int, float]
    requests: int

    @property
    def error_share(self) -> float:
        """Refusals and what got no good answer."""
        return self.level.refused + self.level.lost


@dataclass(frozen=True, slots=True)
class Stretch:
    """A window and what happened in it.

    Attributes:
        window: which.
        seen: by kind of caller, `ALL` first.
        service: what the metrics say, of all models; None where they could not be had.
        models: the same by the model.
    """

    window: Window
    seen: Mapping[str, Seen]
    service: Measured | None = None
    models: Mapping[str, Measured] = field(default_factory=dict)


def stretches(plan: Plan, records: Sequence[Record], scrapes: Sequence[Sums]) -> list[Stretch]:
    """The figures of each window.

    Args:
        plan: whose windows.
        records: of all requests.
        scrapes: of the metrics: before the load, and behind each window; none where there are no metrics.
    """
    made = []
    there = {record.caller for record in records}
    callers = [caller.name for caller in CALLERS if caller.name in there]
    for number, window in enumerate(plan.windows):
        seen = {ALL: see(ALL, records, window)}
        seen |= {name: see(name, [each for each in records if each.caller == name], window) for name in callers}
        if len(scrapes) > number + 1:
            pair = scrapes[number], scrapes[number + 1]
            made.append(Stretch(window, seen, of_all(*pair), between(*pair)))
        else:
            made.append(Stretch(window, seen))
    return made


def see(caller: str, records: Sequence[Record], window: Window) -> Seen:
    """What these requests, of one kind of caller, were like in a window."""
    begin = window.begin + min(START_S, window.seconds / 4)
    due = [record for record in records if begin <= record.due < window.end]
    answered = [record for record in due if record.is_answered]
    return Seen(
        caller,
        level(records, begin, window.end),
        _percentiles([record.latency_s for record in answered]),
        _percentiles([record.first_token_s for record in answered]),
        _percentiles([record.token_s for record in answered]),
        len(due),
    )


def _percentiles(values: Sequence[float | None]) -> dict[int, float]:
    there = [value for value in values if value is not None]
    return {percent: percentile(there, percent) for percent in PERCENTILES} if there else {}
