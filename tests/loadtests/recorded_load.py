"""A made-up load, for the tests of reports."""

import random
from collections.abc import Sequence

from loadtests.load.records import RequestRecord
from loadtests.plan import Plan
from loadtests.report.windows import WindowResult, window_results
from loadtests.service.metrics import HISTOGRAMS, MetricSums
from loadtests.traffic.callers import CALLERS

PLAN = Plan(rates=(2, 4, 8), seconds=10, pause_s=6)
MODELS = ("minilm", "whisper-tiny-en")


def records(plan: Plan = PLAN, latency_s: float = 0.1, failed_above: float = 5, seed: int = 1) -> list[RequestRecord]:
    """Latency grows with the rate. Above a rate, every fourth request is refused."""
    draw, made = random.Random(seed), []
    for window in plan.windows:
        for number in range(round(window.rate * window.seconds)):
            due = window.begin + number / window.rate
            caller = CALLERS[number % len(CALLERS)].name
            taken = latency_s * window.rate / 2 * draw.uniform(0.9, 1.1)
            outcome = "429" if window.rate > failed_above and number % 4 == 0 else "200"
            record = RequestRecord(due, due, due + taken, outcome, None, caller, "fill-mask", MODELS[number % 2])
            if caller == "chat stream" and record.is_answered:
                record.first, record.tokens = due + taken / 5, 9
            made.append(record)
    return made


def scrapes(plan: Plan = PLAN) -> list[MetricSums]:
    """Before the load and after each window: each has ten more batches, with as many rows as the window's number."""
    made: list[MetricSums] = []
    sums = {model: {f"{name}_{end}": 5.0 for name in HISTOGRAMS for end in ("sum", "count")} for model in MODELS}
    for number in range(len(plan.windows) + 1):
        for model in MODELS:
            sums[model]["batch_rows_sum"] += 10 * number
            sums[model]["padding_ratio_sum"] += 0.5 * number
            sums[model]["request_seconds_sum"] += 4
            sums[model]["queue_seconds_sum"] += number
            for name in ("batch_rows", "padding_ratio", "request_seconds"):
                sums[model][f"{name}_count"] += 10
        made.append({model: dict(values) for model, values in sums.items()})
    return made


def results(plan: Plan = PLAN, taken: Sequence[RequestRecord] | None = None) -> list[WindowResult]:
    return window_results(plan, records(plan) if taken is None else taken, scrapes(plan))
