"""Alert: one alerting rule."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule.

    Attributes:
        name: also the heading of its runbook in docs/operations.md.
        expression: returns series while the alert's condition holds.
        wait: how long it must hold.
        severity: `critical` pages someone, `warning` can wait for the morning.
        summary: one line; may contain `{{ $labels.model }}` and `{{ $value }}`.
        description: what it means for callers.
        labels: that distinguish alerts of one name.
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
        """The anchor of its runbook."""
        return self.name.lower()
