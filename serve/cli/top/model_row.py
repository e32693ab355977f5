"""ModelRow: the load of one model between two scrapes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from deployments.telemetry import metrics
from deployments.telemetry.metrics import Metric
from serve.cli.top.scrape import Scrape


@dataclass(frozen=True, slots=True)
class ModelRow:
    """Rates are per second; values without measurements are None.

    Attributes:
        model: its name.
        task: its task's name.
        state: from `/health/ready`.
        replicas: that are running.
        requests: that ended, with any outcome.
        rejected: those of them that were refused.
        p50: latency of answered requests in seconds.
        p99: the same.
        queue_share: share of the latency that was spent in the queue; 0 to 1.
        batch_rows: mean rows of a batch.
        padding: mean share of padding; 0 to 1.
        waiting: rows in the queue now.
        tokens_in: prompt tokens.
        tokens_out: generated tokens.
    """

    model: str
    task: str
    state: str
    replicas: int
    requests: float
    rejected: float
    p50: float | None
    p99: float | None
    queue_share: float | None
    batch_rows: float | None
    padding: float | None
    waiting: float
    tokens_in: float
    tokens_out: float


def model_row(model: str, task: str, state: str, replicas: int, before: Scrape, now: Scrape) -> ModelRow:
    """The difference of two scrapes. With the same one twice, rates are 0."""

    seconds = now.at - before.at

    def growth(metric: Metric, part: str = "", label: str | None = None) -> float:
        # The counts of a replica that has ended may be missing from the later scrape.
        return max(0.0, now.sum(model, metric, part, label) - before.sum(model, metric, part, label))

    def rate(metric: Metric, label: str | None = None) -> float:
        return growth(metric, "", label) / seconds if seconds else 0.0

    earlier, buckets = before.buckets(model, metrics.REQUEST_SECONDS), now.buckets(model, metrics.REQUEST_SECONDS)
    counts = {bound: max(0.0, count - earlier.get(bound, 0.0)) for bound, count in buckets.items()}
    return ModelRow(
        model=model,
        task=task,
        state=state,
        replicas=replicas,
        requests=rate(metrics.REQUESTS),
        rejected=rate(metrics.REJECTED),
        p50=quantile(0.5, counts),
        p99=quantile(0.99, counts),
        queue_share=_ratio(growth(metrics.QUEUE_SECONDS, "_sum"), growth(metrics.REQUEST_SECONDS, "_sum")),
        batch_rows=_ratio(growth(metrics.BATCH_ROWS, "_sum"), growth(metrics.BATCH_ROWS, "_count")),
        padding=_ratio(growth(metrics.PADDING, "_sum"), growth(metrics.PADDING, "_count")),
        waiting=now.sum(model, metrics.WAITING_ROWS),
        tokens_in=rate(metrics.TOKENS, "in"),
        tokens_out=rate(metrics.TOKENS, "out"),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def quantile(share: float, counts: Mapping[float, float]) -> float | None:
    """A quantile of a histogram, interpolated linearly within a bucket.

    Args:
        share: 0 to 1.
        counts: cumulative counts by upper bound, including infinity.

    Returns:
        None if there are no values; the largest finite bound if the value is beyond it.
    """
    bounds = sorted(counts)
    total = counts[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank, lower, below = share * total, 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= rank and counts[bound] > below:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (rank - below) / (counts[bound] - below)
        if not math.isinf(bound):
            lower, below = bound, max(below, counts[bound])
    return lower
