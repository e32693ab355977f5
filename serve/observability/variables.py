"""Variables of a dashboard: the data source, and the selected service, tasks and models."""

from typing import Any

from deployments.telemetry.metrics import Metric
from serve.observability.panel import DATASOURCE
from serve.observability.promql import Expressions, Where

JOB = {"job": "$job"}
EVERY = ".+"


def datasource() -> dict[str, Any]:
    """Any Prometheus data source."""
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "regex": "",
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "skipUrlSync": False,
        "options": [],
    }


def values(label: str, title: str, metric: Metric, where: Where, *, several: bool) -> dict[str, Any]:
    """A variable with the values of a metric's label.

    Args:
        label: also the variable's name.
        title: its label on the dashboard.
        metric: that has the label.
        where: matchers of its series.
        several: whether several values, or all, can be selected.
    """
    query = f"label_values({Expressions('').series(metric, where, '_count' if metric.buckets else '')}, {label})"
    return {
        "type": "query",
        "name": label,
        "label": title,
        "datasource": DATASOURCE,
        "definition": query,
        "query": query,
        "regex": "",
        "refresh": 2,  # when the time range changes
        "sort": 1,  # by name
        "hide": 0,
        "multi": several,
        "includeAll": several,
        "skipUrlSync": False,
        "options": [],
        **({"allValue": EVERY, "current": {"text": ["All"], "value": ["$__all"]}} if several else {}),
    }


def variables(metric: Metric, *, several: bool) -> list[dict[str, Any]]:
    """The variables of a dashboard.

    Args:
        metric: whose series determine the models to choose from.
        several: whether several models can be selected.
    """
    return [
        datasource(),
        values("job", "Service", metric, {}, several=True),
        values("task", "Task", metric, JOB, several=True),
        values("model", "Model", metric, JOB | {"task": "$task"}, several=several),
    ]
