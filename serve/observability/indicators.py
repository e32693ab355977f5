"""What the objectives are about: requests that failed, answers that came late, first tokens that came late."""

from dataclasses import dataclass

from deployments.telemetry.metrics import FIRST_TOKEN_SECONDS, REQUEST_SECONDS, REQUESTS, Metric
from serve.observability.objectives import Objectives
from serve.observability.promql import BY_MODEL, Expressions

# By whom a request that ended so was failed: by the service, which counts, or by its caller, who does not.
FAILED = ("overloaded", "unavailable", "expired", "error")
NOT_COUNTED = ("client_error", "cancelled")
ANSWERED = ("ok",)


@dataclass(frozen=True, slots=True)
class Indicator:
    """A share of bad requests.

    Attributes:
        name: of the recorded ratio, between level and operation.
        alert: the alert's name.
        tells: what the bad ones do, for people.
        metric: that it is read from.
        objective: the share of good ones.
        bound: seconds above which a value is bad; None where the outcome says it.
        but_for: models that have this are left out.
    """

    name: str
    alert: str
    tells: str
    metric: Metric
    objective: float
    bound: float | None = None
    but_for: Metric | None = None

    @property
    def allowed(self) -> float:
        """The error budget: the share that may be bad."""
        return 1 - self.objective

    def recorded(self, window: str) -> str:
        """The recorded ratio's name: level, metric, operation."""
        return f"model:{self.name}:ratio_rate{window}"

    def ratio(self, window: str) -> str:
        """The share of bad ones over a window."""
        ask = Expressions(window)
        if self.bound is None:
            counted = ask.rate(self.metric, BY_MODEL, {"outcome": (*ANSWERED, *FAILED)})
            share = f"{ask.rate(self.metric, BY_MODEL, {'outcome': FAILED})} / {counted}"
        else:
            share = ask.share_above(self.metric, self.bound, BY_MODEL)
        if self.but_for is None:
            return share
        return f"({share}) unless on ({', '.join(BY_MODEL)}) {ask.series(self.but_for, part='_count')}"

    def bad(self, window: str) -> str:
        """How many bad ones there were in a window."""
        ask = Expressions(window)
        if self.bound is None:
            return ask.increase(self.metric, BY_MODEL, {"outcome": FAILED})
        in_time = ask.increase(self.metric, BY_MODEL, {"le": (repr(float(self.bound)),)}, part="_bucket")
        return f"{ask.increase(self.metric, BY_MODEL, part='_count')} - {in_time}"


def indicators(objectives: Objectives) -> tuple[Indicator, ...]:
    """One for each objective."""
    return (
        Indicator(
            "ray_automodel_requests_failed",
            "AutomodelErrorBudgetBurn",
            "fail",
            REQUESTS,
            objectives.availability,
        ),
        Indicator(
            "ray_automodel_request_seconds_late",
            "AutomodelLatencyBudgetBurn",
            f"take longer than {objectives.request_s:g} s",
            REQUEST_SECONDS,
            objectives.fast,
            objectives.request_s,
            but_for=FIRST_TOKEN_SECONDS,
        ),
        Indicator(
            "ray_automodel_time_to_first_token_seconds_late",
            "AutomodelFirstTokenBudgetBurn",
            f"wait longer than {objectives.first_token_s:g} s for their first token",
            FIRST_TOKEN_SECONDS,
            objectives.fast,
            objectives.first_token_s,
        ),
    )
