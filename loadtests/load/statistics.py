"""What became of an open load between two moments."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.load.open_load import Asked
from loadtests.load.percentiles import median, percentile

ANSWERED = "200"
REFUSED = "429"


@dataclass(slots=True)
class Level:
    """One load. Rates are per second; times count from when a request was due.

    Attributes:
        offered: requests that were due.
        goodput: answers that came.
        p50_s: of those that were answered.
        p99_s: of those that were answered.
        refused: share of 429.
        refused_p99_s: how long a refusal took.
        lost: share that got neither an answer nor a 429: given up by the caller or the service, or broken.
        losses: these, by status or kind of error.
        retry_after_s: what refusals said, in the middle, the least and the most; none without refusals.
        late_p99_s: how late the load was with its requests.
        multiple: of the capacity.
        service_cores: processor time of the service over time.
        load_cores: processor time of the load over time.
        connections: that were opened.
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
    multiple: float = 0.0
    service_cores: float = 0.0
    load_cores: float = 0.0
    connections: int = 0


def level(asked: Sequence[Asked], since: float, until: float) -> Level:
    """The figures of the requests that were due between the two moments, and of the answers that came between them."""
    due = [each for each in asked if since <= each.due < until]
    outcomes = Counter(each.outcome for each in due)
    taken = [each.ended - each.due for each in due if each.outcome == ANSWERED]
    refusals = [each for each in due if each.outcome == REFUSED]
    told = [each.retry_after for each in refusals if each.retry_after is not None]
    losses = {outcome: count for outcome, count in outcomes.items() if outcome not in (ANSWERED, REFUSED)}
    answers = sum(each.outcome == ANSWERED and since <= each.ended < until for each in asked)
    total = max(1, len(due))
    return Level(
        offered=len(due) / (until - since),
        goodput=answers / (until - since),
        p50_s=median(taken),
        p99_s=percentile(taken, 99),
        refused=len(refusals) / total,
        refused_p99_s=percentile([each.ended - each.sent for each in refusals], 99),
        lost=sum(losses.values()) / total,
        losses=losses,
        retry_after_s=(median(told), min(told), max(told)) if told else None,
        late_p99_s=percentile([each.sent - each.due for each in due], 99),
    )
