"""Variables of a dashboard: where the data come from, and which service, tasks and models are looked at."""

from typing import Any

from deployments.telemetry.metrics import Metric
from serve.observability.panel import DATASOURCE
from serve.observability.promql import Expressions, Where

JOB = {"job": "$job"}
EVERY = ".+"


def datasource() -> dict[str, Any]:
    """Any Prometheus that Grafana knows."""
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
    """The values that a label of a metric has.

    Args:
        label: also the variable's name.
        title: what people read.
        metric: whose.
        where: of which series.
        several: whether more than one can be chosen, and all at once.
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
        "refresh": 2,  # with the range of time
        "sort": 1,  # by name
        "hide": 0,
        "multi": several,
        "includeAll": several,
        "skipUrlSync": False,
        "options": [],
        **({"allValue": EVERY, "current": {"text": ["All"], "value": ["$__all"]}} if several else {}),
    }


def variables(metric: Metric, *, several: bool) -> list[dict[str, Any]]:
    """Those of every dashboard.

    Args:
        metric: that tells which models there are.
        several: whether more than one model can be looked at.
    """
    return [
        datasource(),
        values("job", "Service", metric, {}, several=True),
        values("task", "Task", metric, JOB, several=True),
        values("model", "Model", metric, JOB | {"task": "$task"}, several=several),
    ]
