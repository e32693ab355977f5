"""Scrape: the metrics at one moment, summed by model."""

from collections import defaultdict
from collections.abc import Iterable

from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from deployments.telemetry.metrics import Metric

Buckets = dict[float, float]


class Scrape:
    """Every model's metrics, summed over replicas and nodes.

    Args:
        text: in Prometheus' format.
        at: time of the scrape, `time.monotonic()`.
    """

    def __init__(self, text: str, at: float) -> None:
        self.at = at
        self._sums: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._labelled: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self._buckets: defaultdict[tuple[str, str], Buckets] = defaultdict(dict)
        self.tasks: dict[str, str] = {}  # by model
        self._read(text_string_to_metric_families(text))

    def sum(self, model: str, metric: Metric, part: str = "", label: str | None = None) -> float:
        """A counter or gauge, or a histogram's `_sum` or `_count` (`part`); for one value of a label if given."""
        name = metric.exported_name + part
        return self._sums[model, name] if label is None else self._labelled[model, name, label]

    def buckets(self, model: str, metric: Metric) -> Buckets:
        """A histogram's cumulative counts by upper bound."""
        return self._buckets[model, metric.exported_name]

    def _read(self, families: Iterable[Family]) -> None:
        for family in families:
            for sample in family.samples:
                model = sample.labels.get("model")
                if model is None:
                    continue
                self.tasks.setdefault(model, sample.labels.get("task", ""))
                if "le" in sample.labels:
                    bounds = self._buckets[model, family.name]
                    bound = float(sample.labels["le"])
                    bounds[bound] = bounds.get(bound, 0.0) + sample.value
                    continue
                self._sums[model, sample.name] += sample.value
                for value in sample.labels.values():
                    self._labelled[model, sample.name, value] += sample.value
