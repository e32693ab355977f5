"""Alert: what somebody has to look at."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule.

    Attributes:
        name: also the heading of its runbook in docs/operations.md.
        expression: gives something for as long as something is wrong.
        wait: how long it has to be so.
        severity: `critical` wakes somebody, `warning` can wait for the morning.
        summary: one line; may name `{{ $labels.model }}` and `{{ $value }}`.
        description: what it means for callers.
        labels: that tell alerts of one name apart.
    """

    name: str
    expression: str
    wait: str
    severity: str
    summary: str
    description: str
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def anchor(self) -> str:
        """Of its runbook."""
        return self.name.lower()
