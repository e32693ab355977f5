"""All rules as files: Prometheus' own `rules.yml`, or the operator's PrometheusRule."""

from collections.abc import Iterable
from typing import Any

from serve.kubernetes.manifest import Literal, as_yaml
from serve.kubernetes.pod import labels
from serve.observability.alert import Alert
from serve.observability.budget_alerts import budget_alerts
from serve.observability.objectives import Objectives
from serve.observability.recording_rules import recording_rules
from serve.observability.symptom_alerts import symptom_alerts

RUNBOOKS = "docs/operations.md"
HEADER = "# Written by `automodel-serve render rules`, from deployments/telemetry/metrics.py and serve/observability.\n"


def rules(objectives: Objectives, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The content of Prometheus' rule file.

    Args:
        objectives: for alerts and recording rules.
        runbooks: URL of docs/operations.md.
    """
    recorded = [{"record": rule.name, "expr": rule.expression} for rule in recording_rules(objectives)]
    return {
        "groups": [
            {"name": "automodel-budgets", "rules": [*recorded, *_alerting(budget_alerts(objectives), runbooks)]},
            {"name": "automodel-symptoms", "rules": _alerting(symptom_alerts(), runbooks)},
        ]
    }


def prometheus_rule(name: str, objectives: Objectives, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The same as a PrometheusRule for the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name, "labels": labels(name)},
        "spec": rules(objectives, runbooks),
    }


def as_text(manifest: dict[str, Any]) -> str:
    return HEADER + as_yaml(manifest)


def _alerting(alerts: Iterable[Alert], runbooks: str) -> list[dict[str, Any]]:
    return [
        {
            "alert": alert.name,
            "expr": Literal(alert.expression),
            "for": alert.wait,
            "labels": {"severity": alert.severity, **alert.labels},
            "annotations": {
                "summary": alert.summary,
                "description": alert.description,
                "runbook_url": f"{runbooks}#{alert.anchor}",
            },
        }
        for alert in alerts
    ]
