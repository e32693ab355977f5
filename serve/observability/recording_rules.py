"""Recording rules: expressions that alerts and dashboards use often, over windows of up to days.

Names are `level:metric:operation`, as Prometheus' documentation recommends; the level `model` stands for the labels
`namespace`, `job`, `model` and `task`.
"""

from dataclasses import dataclass

from serve.observability.indicators import indicators
from serve.observability.objectives import WINDOWS, Objectives


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """One recording rule."""

    name: str
    expression: str


def recording_rules(objectives: Objectives) -> tuple[RecordingRule, ...]:
    """The share of bad requests of every model, for each objective and window."""
    return tuple(
        RecordingRule(indicator.recorded(window), indicator.ratio(window))
        for indicator in indicators(objectives)
        for window in WINDOWS
    )
