"""Service level indicators: failed requests, late answers, late first tokens."""

from dataclasses import dataclass

from deployments.telemetry.metrics import FIRST_TOKEN_SECONDS, REQUEST_SECONDS, REQUESTS, Metric
from serve.observability.objectives import Objectives
from serve.observability.promql import BY_MODEL, Expressions

# Outcomes that count as failures of the service, and those that are the caller's.
FAILED = ("overloaded", "unavailable", "expired", "error")
NOT_COUNTED = ("client_error", "cancelled")
ANSWERED = ("ok",)


@dataclass(frozen=True, slots=True)
class Indicator:
    """A share of bad requests.

    Attributes:
        name: of the recorded ratio, between level and operation.
        alert: the alert's name.
        failure: what bad requests do, for messages.
        metric: on which it is based.
        objective: the share of good requests.
        bound: seconds above which a value is bad; None if the outcome decides.
        excluding: models with this metric are left out.
    """

    name: str
    alert: str
    failure: str
    metric: Metric
    objective: float
    bound: float | None = None
    excluding: Metric | None = None

    @property
    def allowed(self) -> float:
        """The error budget: the share that may be bad."""
        return 1 - self.objective

    def recorded(self, window: str) -> str:
        """The name of the recorded ratio: level, metric, operation."""
        return f"model:{self.name}:ratio_rate{window}"

    def ratio(self, window: str) -> str:
        """The share of bad requests over a window."""
        promql = Expressions(window)
        if self.bound is None:
            counted = promql.rate(self.metric, BY_MODEL, {"outcome": (*ANSWERED, *FAILED)})
            share = f"{promql.rate(self.metric, BY_MODEL, {'outcome': FAILED})} / {counted}"
        else:
            share = promql.share_above(self.metric, self.bound, BY_MODEL)
        if self.excluding is None:
            return share
        return f"({share}) unless on ({', '.join(BY_MODEL)}) {promql.series(self.excluding, part='_count')}"

    def bad(self, window: str) -> str:
        """The number of bad requests in a window."""
        promql = Expressions(window)
        if self.bound is None:
            return promql.increase(self.metric, BY_MODEL, {"outcome": FAILED})
        in_time = promql.increase(self.metric, BY_MODEL, {"le": (repr(float(self.bound)),)}, part="_bucket")
        return f"{promql.increase(self.metric, BY_MODEL, part='_count')} - {in_time}"


def indicators(objectives: Objectives) -> tuple[Indicator, ...]:
    """The indicator of each objective."""
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
            excluding=FIRST_TOKEN_SECONDS,
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
