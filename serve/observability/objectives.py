"""Service level objectives, and the burn rates at which alerts fire.

The method is that of Google's "The Site Reliability Workbook", chapter 5, "Alerting on SLOs": an alert fires when the
share of failures is many times what the objective allows over a long window, so that it is significant, and over a
short one, so that it ends soon after the incident (multiwindow, multi-burn-rate alerts). The windows and rates
are those of its table for a budget of 30 days.
"""

from dataclasses import dataclass

from deployments.telemetry.metrics import FIRST_TOKEN_SECONDS, REQUEST_SECONDS


@dataclass(frozen=True, slots=True)
class Objectives:
    """The objectives of every model.

    Attributes:
        availability: share of requests that are answered; 0.999 allows 43 minutes of downtime in 30 days.
        fast: share of answers within the time limit.
        request_s: time limit of an answer from one forward pass.
        first_token_s: time limit of the first token of a generated answer, whose length is the caller's choice.
    """

    availability: float = 0.999
    fast: float = 0.99
    request_s: float = 1.0
    first_token_s: float = 2.0

    def __post_init__(self) -> None:
        for name in ("availability", "fast"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is a share between 0 and 1, not {getattr(self, name):g}")
        for name, metric in (("request_s", REQUEST_SECONDS), ("first_token_s", FIRST_TOKEN_SECONDS)):
            if getattr(self, name) not in metric.buckets:
                bounds = ", ".join(f"{bound:g}" for bound in metric.buckets)
                raise ValueError(f"{name} must be one of the histogram's bounds {bounds}")


@dataclass(frozen=True, slots=True)
class Burn:
    """An alert's windows.

    Attributes:
        rate: how many times faster than allowed.
        long: the window that makes it significant.
        short: the window that ends it; a twelfth.
        severity: `critical` pages someone, `warning` can wait for the morning.
    """

    rate: float
    long: str
    short: str
    severity: str


BURNS = (
    Burn(14.4, "1h", "5m", "critical"),  # 2 % of the budget in an hour
    Burn(6, "6h", "30m", "critical"),  # 5 % in six hours
    Burn(3, "1d", "2h", "warning"),  # 10 % in a day
    Burn(1, "3d", "6h", "warning"),  # 10 % in three days
)
WINDOWS = tuple(dict.fromkeys(window for burn in BURNS for window in (burn.short, burn.long)))
MIN_BAD = 10  # in the long window: a failure or two of a rarely used model is no incident
