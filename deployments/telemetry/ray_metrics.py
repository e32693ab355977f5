"""RayExporter: passes a process's series to Ray, whose agent on every node exports them.

A histogram is exported as counters of its buckets, sum and count (`…_bucket_total{le}`, `…_sum_total`,
`…_count_total`), since Ray's own histogram loses the sum (`meter.py`). The gateway's `/metrics` turns them into
histograms again; whoever scrapes the agents directly strips the suffix (docs/metrics.md).
"""

import threading
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from ray.util import metrics as ray_metrics

from deployments.telemetry.meter import Meter, Series
from deployments.telemetry.metrics import Metric
from deployments.telemetry.ray_internals import add_to_counter

FLUSH_S = 1.0
PARTS = ("_bucket", "_sum", "_count")  # of a histogram

Key = tuple[str, tuple[str, ...]]  # a name in Ray, and the values of its labels


class RayExporter:
    """A thread that exports the series that have changed.

    Args:
        meter: to read.
        metrics: of the meter.
        replica: label of the gauges of this replica.
    """

    def __init__(self, meter: Meter, metrics: Iterable[Metric], replica: str = "") -> None:
        self._meter = meter
        self._replica = replica
        self._counters: dict[str, tuple[Any, tuple[str, ...]]] = {}
        self._gauges: dict[Metric, Any] = {}
        self._exported: dict[Key, float] = {}
        self._read: dict[Key, tuple[float, list[int]]] = {}
        for metric in metrics:
            self._declare(metric)
        self._flushing = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Export the last changes and end the thread."""
        self._stopped.set()
        self.flush()

    def flush(self) -> None:
        """Export the changes."""
        with self._flushing:
            for series in self._meter.read():
                if series.metric.kind == "gauge":
                    self._set(series)
                elif not self._has_changed(series):
                    continue
                elif series.metric.kind == "counter":
                    self._add(series.metric.name, series.labels, series.value)
                else:
                    self._add_histogram(series)

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_S):
            self.flush()

    def _declare(self, metric: Metric) -> None:
        if metric.kind == "gauge":
            labels = (*metric.labels, "replica") if metric.of_replica else metric.labels
            self._gauges[metric] = ray_metrics.Gauge(metric.name, metric.description, labels)
            return
        for part in PARTS if metric.kind == "histogram" else ("",):
            labels = (*metric.labels, "le") if part == "_bucket" else metric.labels
            name = metric.name + part
            self._counters[name] = (ray_metrics.Counter(name, metric.description, labels), labels)

    def _has_changed(self, series: Series) -> bool:
        """Whether the series is new, or has another value than at the last flush. In an idle replica few have."""
        key, now = (series.metric.name, series.labels), (series.value, series.counts)
        before = self._read.get(key)
        self._read[key] = now
        return before != now

    def _set(self, series: Series) -> None:
        tags = dict(zip(series.metric.labels, series.labels, strict=True))
        if series.metric.of_replica:
            tags["replica"] = self._replica
        self._gauges[series.metric].set(series.value, tags)  # every time: Ray drops a gauge that is not set again

    def _add_histogram(self, series: Series) -> None:
        name, labels, below = series.metric.name, series.labels, list(accumulate(series.counts))
        for bound, count in zip((*series.metric.buckets, float("inf")), below, strict=True):
            self._add(f"{name}_bucket", (*labels, le(bound)), count)
        self._add(f"{name}_sum", labels, series.value)
        self._add(f"{name}_count", labels, below[-1])

    def _add(self, name: str, labels: tuple[str, ...], value: float) -> None:
        key = (name, labels)
        before = self._exported.get(key)
        if before == value:
            return
        counter, names = self._counters[name]
        add_to_counter(counter, value - (before or 0.0), dict(zip(names, labels, strict=True)))
        self._exported[key] = value


def le(bound: float) -> str:
    """A bucket's upper bound in Prometheus' format."""
    return "+Inf" if bound == float("inf") else repr(float(bound))
