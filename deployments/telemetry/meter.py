"""Meter: aggregates the measurements of a process, so that nothing is exported per request. No Ray.

Recording adds to a number under a lock; an exporter reads the sums periodically (`ray_metrics.py`). Ray's own `observe`
costs 6 µs per value for the caller and again where the value is counted, and its agent replaces a histogram's sum by
one of bucket midpoints: batches of one row would have half a row on average.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from deployments.telemetry.metrics import Metric


@dataclass(slots=True, eq=False)
class Series:
    """The value of a metric for one combination of labels.

    Attributes:
        metric: that it belongs to.
        labels: values, in the order of the metric's labels.
        value: of a counter or gauge; for a histogram, the sum of the observed values.
        counts: for a histogram, the number of values in each bucket, not cumulative; the last has no upper bound.
    """

    metric: Metric
    labels: tuple[str, ...]
    value: float = 0.0
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.metric.kind == "histogram":
            self.counts = [0] * (len(self.metric.buckets) + 1)


class Meter:
    """Holds all series of a process. Thread-safe.

    Args:
        metrics: to measure; series whose labels are known exist from the start.
        fixed: values of labels that are the same for the whole process, such as the model's name.
    """

    def __init__(self, metrics: Iterable[Metric], fixed: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._fixed = {metric: tuple(fixed[label] for label in metric.labels if label in fixed) for metric in metrics}
        self._series: dict[tuple[Metric, tuple[str, ...]], Series] = {}
        self._polls: list[Callable[[], None]] = []
        for metric in self._fixed:
            if metric.kind != "gauge" and not metric.begins_when_used:
                for labels in metric.known_series(fixed):
                    self._find(metric, labels)

    def add(self, metric: Metric, *labels: str, value: float = 1.0) -> None:
        """Increase a counter; `labels` are the values of the labels that are not fixed."""
        with self._lock:
            self._find(metric, self._fixed[metric] + labels).value += value

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add a value to a histogram."""
        place = bisect_left(metric.buckets, value)
        with self._lock:
            series = self._find(metric, self._fixed[metric] + labels)
            series.value += value
            series.counts[place] += 1

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self._find(metric, self._fixed[metric] + labels).value = value

    def poll(self, measure: Callable[[], None]) -> None:
        """Call `measure`, which sets gauges, whenever the series are read."""
        self._polls.append(measure)

    def read(self) -> list[Series]:
        """Copies of all series."""
        for measure in self._polls:
            measure()
        with self._lock:
            copies = []
            for series in self._series.values():
                copy = Series(series.metric, series.labels, series.value)
                copy.counts = series.counts.copy()
                copies.append(copy)
            return copies

    def value(self, metric: Metric, *labels: str) -> float:
        """The value of a counter or gauge, or the number of values in a histogram."""
        with self._lock:
            series = self._find(metric, self._fixed[metric] + labels)
            return sum(series.counts) if series.counts else series.value

    def _find(self, metric: Metric, labels: tuple[str, ...]) -> Series:
        key = (metric, labels)
        series = self._series.get(key)
        if series is None:
            if len(labels) != len(metric.labels):
                raise ValueError(f"{metric.name} has the labels {metric.labels}, not {len(labels)} of them")
            series = self._series[key] = Series(metric, labels)
        return series
