"""Grafana's names for the units of metrics."""

from deployments.telemetry.metrics import Metric

_VALUES = {"seconds": "s", "ratio": "percentunit", "bytes": "bytes"}
_RATES = {"requests": "reqps"}
SHARE = "percentunit"
COUNT = "short"


def unit_of(metric: Metric) -> str:
    """The unit of a metric's values."""
    return _VALUES.get(metric.unit, COUNT)


def unit_of_rate(metric: Metric) -> str:
    """The unit of a counter's rate."""
    return _RATES.get(metric.unit, f"suffix: {metric.unit}/s")
