"""Rates, shares and latencies of an open load within a period."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.load.percentiles import median, percentile
from loadtests.load.results import ANSWERED, REFUSED, RequestResult, latencies


@dataclass(slots=True)
class LoadStatistics:
    """One period. Rates are per second; latencies count from when a request was due.

    Attributes:
        offered: requests due.
        goodput: responses with status 200.
        p50_s: latency of answered requests.
        p99_s: latency of answered requests.
        refused: share of requests with status 429.
        refused_p99_s: time that a refusal took.
        lost: share of requests with any other outcome: timeouts, errors, broken connections.
        losses: number of these, by outcome.
        retry_after_s: median, minimum and maximum of the refusals' `Retry-After`; None without refusals.
        late_p99_s: how much later than due the load generator sent its requests.
    """

    offered: float
    goodput: float
    p50_s: float
    p99_s: float
    refused: float
    refused_p99_s: float
    lost: float
    losses: dict[str, int] = field(default_factory=dict)
    retry_after_s: tuple[float, float, float] | None = None
    late_p99_s: float = 0.0


def load_statistics(requests: Sequence[RequestResult], since: float, until: float) -> LoadStatistics:
    """Statistics of the requests that were due in the period. Goodput counts the responses that came in it."""
    due = [each for each in requests if since <= each.due < until]
    taken = latencies(due)
    refusals = [each for each in due if each.outcome == REFUSED]
    retry_after = [each.retry_after for each in refusals if each.retry_after is not None]
    losses = dict(Counter(each.outcome for each in due if each.outcome not in (ANSWERED, REFUSED)))
    answers = sum(each.is_answered and since <= each.ended < until for each in requests)
    total = max(1, len(due))
    return LoadStatistics(
        offered=len(due) / (until - since),
        goodput=answers / (until - since),
        p50_s=median(taken),
        p99_s=percentile(taken, 99),
        refused=len(refusals) / total,
        refused_p99_s=percentile([each.ended - each.sent for each in refusals], 99),
        lost=sum(losses.values()) / total,
        losses=losses,
        retry_after_s=(median(retry_after), min(retry_after), max(retry_after)) if retry_after else None,
        late_p99_s=percentile([each.sent - each.due for each in due], 99),
    )
