"""What follows an overload: how soon as much is answered as ever, and how soon as quickly as ever."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.load.open_load import Asked
from loadtests.load.percentiles import median
from loadtests.load.statistics import ANSWERED

WINDOW_S = 2.0
STEP_S = 0.25
SHARE = 0.9  # of the peak that counts as recovered
CALM_FACTOR = 2.0  # of the usual median that counts as calm again


@dataclass(frozen=True, slots=True)
class Aftermath:
    """Seconds after the overload ended; NaN for never.

    Attributes:
        goodput_s: until the first two seconds with `SHARE` of the peak in answers.
        calm_s: until the median of a second's requests was that of the same load without an overload before, within
            `CALM_FACTOR`.
        unanswered: share of the requests afterwards that got no answer.
    """

    goodput_s: float
    calm_s: float
    unanswered: float


def aftermath(asked: Sequence[Asked], ended: float, until: float, peak: float, usual_p50_s: float) -> Aftermath:
    """Of a load that overloaded up to `ended` and went on quietly up to `until`."""
    answers = sorted(each.ended for each in asked if each.outcome == ANSWERED)
    after = [each for each in asked if ended <= each.due < until]
    steps = [ended + number * STEP_S for number in range(int((until - ended - WINDOW_S) / STEP_S) + 1)]

    def is_full(begin: float) -> bool:
        return sum(begin <= moment < begin + WINDOW_S for moment in answers) >= SHARE * peak * WINDOW_S

    def is_calm(begin: float) -> bool:
        taken = [each.ended - each.due for each in after if begin <= each.due < begin + 1 and each.outcome == ANSWERED]
        return bool(taken) and median(taken) <= CALM_FACTOR * usual_p50_s

    return Aftermath(
        goodput_s=next((begin - ended for begin in steps if is_full(begin)), math.nan),
        calm_s=next((begin - ended for begin in steps if is_calm(begin)), math.nan),
        unanswered=sum(each.outcome != ANSWERED for each in after) / max(1, len(after)),
    )
