"""ModelRow: what one model did between two scrapes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from deployments.telemetry import metrics
from deployments.telemetry.metrics import Metric
from serve.cli.top.scrape import Scrape


@dataclass(frozen=True, slots=True)
class ModelRow:
    """Rates are a second; what nothing was measured of is None.

    Attributes:
        model: its name.
        task: its task's.
        state: as `/health/ready` tells it.
        replicas: that answer.
        requests: that ended, however they did.
        rejected: of them, those that were refused.
        p50: of the time of answered requests, in seconds.
        p99: of the same.
        queue_share: of that time, what was spent in line; 0 to 1.
        batch_rows: mean rows of a batch.
        padding: mean share of padding; 0 to 1.
        waiting: rows that wait now.
        tokens_in: that were read.
        tokens_out: that were written.
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
    """The difference of two scrapes of which the later one is `now`; the same one twice says what is now."""

    seconds = now.at - before.at

    def more(metric: Metric, part: str = "", label: str | None = None) -> float:
        # What a replica that ended had counted may be gone from one scrape to the next.
        return max(0.0, now.sum(model, metric, part, label) - before.sum(model, metric, part, label))

    def rate(metric: Metric, label: str | None = None) -> float:
        return more(metric, "", label) / seconds if seconds else 0.0

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
        queue_share=_ratio(more(metrics.QUEUE_SECONDS, "_sum"), more(metrics.REQUEST_SECONDS, "_sum")),
        batch_rows=_ratio(more(metrics.BATCH_ROWS, "_sum"), more(metrics.BATCH_ROWS, "_count")),
        padding=_ratio(more(metrics.PADDING, "_sum"), more(metrics.PADDING, "_count")),
        waiting=now.sum(model, metrics.WAITING_ROWS),
        tokens_in=rate(metrics.TOKENS, "in"),
        tokens_out=rate(metrics.TOKENS, "out"),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def quantile(share: float, counts: Mapping[float, float]) -> float | None:
    """The value below which a share of all values lies; within a bucket they count as evenly spread.

    Args:
        share: 0 to 1.
        counts: how many values there were up to each upper bound, infinity among them.

    Returns:
        None where there were no values; the largest finite bound where the value lies beyond it.
    """
    bounds = sorted(counts)
    total = counts[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    wanted, lower, below = share * total, 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= wanted and counts[bound] > below:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (wanted - below) / (counts[bound] - below)
        if not math.isinf(bound):
            lower, below = bound, max(below, counts[bound])
    return lower
