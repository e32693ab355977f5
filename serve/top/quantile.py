"""Quantiles from the buckets of a histogram."""

import math
from collections.abc import Mapping


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
