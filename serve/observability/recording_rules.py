"""Recording rules: what alerts and dashboards ask again and again, over windows of up to days.

Names are `level:metric:operation`, as Prometheus' own documentation has it; the level `model` stands for the labels
`namespace`, `job`, `model` and `task`.
"""

from dataclasses import dataclass

from serve.observability.indicators import indicators
from serve.observability.objectives import WINDOWS, Objectives


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule."""

    name: str
    expression: str


def recordings(objectives: Objectives) -> tuple[Recording, ...]:
    """The share of bad requests of every model, for each objective and window."""
    return tuple(
        Recording(indicator.recorded(window), indicator.ratio(window))
        for indicator in indicators(objectives)
        for window in WINDOWS
    )
