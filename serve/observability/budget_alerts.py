"""Alerts on error budgets: one for each objective and pair of windows."""

from collections.abc import Iterator

from serve.observability.alert import Alert
from serve.observability.indicators import Indicator, indicators
from serve.observability.objectives import BURNS, MIN_BAD, Burn, Objectives


def budget_alerts(objectives: Objectives) -> Iterator[Alert]:
    """The alerts of all objectives."""
    for indicator in indicators(objectives):
        for burn in BURNS:
            yield _alert(indicator, burn)


def _alert(indicator: Indicator, burn: Burn) -> Alert:
    threshold = f"{burn.rate * indicator.allowed:.6g}"
    return Alert(
        name=indicator.alert,
        expression=(
            f"{indicator.recorded(burn.long)} > {threshold}\n"
            f"and {indicator.recorded(burn.short)} > {threshold}\n"
            f"and ({indicator.bad(burn.long)}) >= {MIN_BAD}"
        ),
        wait="2m" if burn.severity == "critical" else "15m",
        severity=burn.severity,
        summary=f"{{{{ $labels.model }}}}: {{{{ $value | humanizePercentage }}}} of its requests {indicator.failure}",
        description=(
            f"Over {burn.long} and still over {burn.short} the error budget of {indicator.allowed:.2%} was consumed "
            f"{burn.rate:g} times faster than allowed."
        ),
        labels={"window": burn.long},
    )
