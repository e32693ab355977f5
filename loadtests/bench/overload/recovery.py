"""Recovery from an overload: how soon goodput and latency are as before."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.load.percentiles import median
from loadtests.load.results import RequestResult, latencies

WINDOW_S = 2.0
STEP_S = 0.25
GOODPUT_SHARE = 0.9  # of the peak goodput counts as recovered
LATENCY_FACTOR = 2.0  # times the usual median latency counts as recovered


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds since the end of the overload; NaN for never.

    Attributes:
        goodput_s: until goodput over two seconds was `GOODPUT_SHARE` of the peak.
        latency_s: until the median latency of a second's requests was within `LATENCY_FACTOR` of its usual value.
        unanswered: share of the requests after the overload without status 200.
    """

    goodput_s: float
    latency_s: float
    unanswered: float


def recovery(
    requests: Sequence[RequestResult], ended: float, until: float, peak: float, usual_p50_s: float
) -> Recovery:
    """Recovery under a light load, from the end of the overload until the end of the load."""
    answers = sorted(each.ended for each in requests if each.is_answered)
    after = [each for each in requests if ended <= each.due < until]
    steps = [ended + number * STEP_S for number in range(int((until - ended - WINDOW_S) / STEP_S) + 1)]

    def has_goodput(begin: float) -> bool:
        return sum(begin <= at < begin + WINDOW_S for at in answers) >= GOODPUT_SHARE * peak * WINDOW_S

    def has_latency(begin: float) -> bool:
        taken = latencies([each for each in after if begin <= each.due < begin + 1])
        return bool(taken) and median(taken) <= LATENCY_FACTOR * usual_p50_s

    return Recovery(
        goodput_s=next((begin - ended for begin in steps if has_goodput(begin)), math.nan),
        latency_s=next((begin - ended for begin in steps if has_latency(begin)), math.nan),
        unanswered=sum(not each.is_answered for each in after) / max(1, len(after)),
    )
