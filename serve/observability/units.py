"""Units of the declarations, as Grafana names them."""

from deployments.telemetry.metrics import Metric

_VALUES = {"seconds": "s", "ratio": "percentunit", "bytes": "bytes"}
_RATES = {"requests": "reqps"}
SHARE = "percentunit"
COUNT = "short"


def unit_of(metric: Metric) -> str:
    """Of a metric's values."""
    return _VALUES.get(metric.unit, COUNT)


def unit_of_rate(metric: Metric) -> str:
    """Of how fast a counter grows."""
    return _RATES.get(metric.unit, f"suffix: {metric.unit}/s")
