"""The service's Prometheus metrics, as differences between two scrapes."""

import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from deployments.telemetry.metrics import EXPORTED_PREFIX
from loadtests.service.api_key import authorization

# Replicas export every three seconds; Ray's agents and the gateway's cache add to that.
LAG_S = 5.0
TIMEOUT_S = 20.0
STAGES = ("queue", "preprocess", "forward", "postprocess")  # of a request in a replica
HISTOGRAMS = ("batch_rows", "padding_ratio", "request_seconds", *(f"{stage}_seconds" for stage in STAGES))

# By model: sums and counts of `HISTOGRAMS`, such as `batch_rows_sum`.
MetricSums = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class ReplicaMetrics:
    """Metrics of a period, of one model or of all.

    Attributes:
        answered: number of requests.
        rows: mean rows per batch; None without batches.
        padding: mean share of padding in a batch; None without batches.
        seconds: mean time of a request in the replica; None without requests.
        stages: share of that time, by stage.
    """

    answered: float
    rows: float | None
    padding: float | None
    seconds: float | None
    stages: Mapping[str, float]


def scrape(url: str) -> MetricSums:
    """The current sums of a service."""
    request = urllib.request.Request(f"{url}/metrics", headers=authorization())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        return metric_sums(response.read().decode())


def metric_sums(text: str) -> MetricSums:
    """Sums and counts of `HISTOGRAMS`, over all replicas and nodes."""
    wanted = {f"{EXPORTED_PREFIX}{name}{end}" for name in HISTOGRAMS for end in ("_sum", "_count")}
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    lines = [line for line in text.splitlines() if line.startswith((*wanted, "# TYPE")) and "_bucket" not in line]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            if sample.name in wanted:
                sums[sample.labels["model"]][sample.name.removeprefix(EXPORTED_PREFIX)] += sample.value
    return sums


def metrics_by_model(before: MetricSums, after: MetricSums) -> dict[str, ReplicaMetrics]:
    """Metrics of the time between two scrapes, by model."""
    return {model: _metrics(_increase(before.get(model, {}), sums)) for model, sums in sorted(after.items())}


def metrics_of_all(before: MetricSums, after: MetricSums) -> ReplicaMetrics:
    """Metrics of the time between two scrapes, over all models."""
    total: dict[str, float] = defaultdict(float)
    for model, sums in after.items():
        for name, value in _increase(before.get(model, {}), sums).items():
            total[name] += value
    return _metrics(total)


def _increase(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """A sum that has fallen is that of a replaced replica: its increase is unknown and counts as 0."""
    return {name: max(0.0, value - before.get(name, 0.0)) for name, value in after.items()}


def _metrics(increase: Mapping[str, float]) -> ReplicaMetrics:
    def mean(name: str) -> float | None:
        count = increase.get(f"{name}_count", 0.0)
        return increase[f"{name}_sum"] / count if count else None

    total = increase.get("request_seconds_sum", 0.0)
    stages = {stage: increase.get(f"{stage}_seconds_sum", 0.0) / total for stage in STAGES} if total else {}
    answered = increase.get("request_seconds_count", 0.0)
    return ReplicaMetrics(answered, mean("batch_rows"), mean("padding_ratio"), mean("request_seconds"), stages)
