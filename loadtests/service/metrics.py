"""What `/metrics` says, and how much more it says later."""

import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from deployments.metrics import EXPORTED_PREFIX
from loadtests.service.api_key import authorization

# Replicas export every three seconds, Ray's agents and the gateway's own age come on top.
LAG_S = 5.0
TIMEOUT_S = 20.0
PARTS = ("queue", "preprocess", "forward", "postprocess")  # of the time in a replica
HISTOGRAMS = ("batch_rows", "padding_ratio", "request_seconds", *(f"{part}_seconds" for part in PARTS))

Sums = Mapping[str, Mapping[str, float]]  # by the model: sums and counts of `HISTOGRAMS`, such as `batch_rows_sum`


@dataclass(frozen=True, slots=True)
class Measured:
    """What the service says of a stretch of time and one model, or of all.

    Attributes:
        answered: requests.
        rows: mean rows of a batch; None without batches.
        padding: mean share of a batch that was padding; None without batches.
        seconds: mean time of a request in the replica; None without requests.
        parts: shares of that time, by part.
    """

    answered: float
    rows: float | None
    padding: float | None
    seconds: float | None
    parts: Mapping[str, float]


def scrape(url: str) -> Sums:
    """The sums of a service now."""
    request = urllib.request.Request(f"{url}/metrics", headers=authorization())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return sums_of(answer.read().decode())


def sums_of(text: str) -> Sums:
    """Sums and counts of the histograms that the report is made of, over replicas and nodes."""
    wanted = {f"{EXPORTED_PREFIX}{name}{end}" for name in HISTOGRAMS for end in ("_sum", "_count")}
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    lines = [line for line in text.splitlines() if line.startswith((*wanted, "# TYPE")) and "_bucket" not in line]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            if sample.name in wanted:
                sums[sample.labels["model"]][sample.name.removeprefix(EXPORTED_PREFIX)] += sample.value
    return sums


def between(before: Sums, after: Sums) -> dict[str, Measured]:
    """What happened in between, by the model."""
    return {model: _measured(_more(before.get(model, {}), now)) for model, now in sorted(after.items())}


def of_all(before: Sums, after: Sums) -> Measured:
    """What happened in between, over all models."""
    more: dict[str, float] = defaultdict(float)
    for model, now in after.items():
        for name, value in _more(before.get(model, {}), now).items():
            more[name] += value
    return _measured(more)


def _more(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """A replica that was replaced takes its sums with it: then nothing is known, and it counts as nothing."""
    return {name: max(0.0, value - before.get(name, 0.0)) for name, value in now.items()}


def _measured(more: Mapping[str, float]) -> Measured:
    def mean(name: str) -> float | None:
        count = more.get(f"{name}_count", 0.0)
        return more[f"{name}_sum"] / count if count else None

    total = more.get("request_seconds_sum", 0.0)
    parts = {part: more.get(f"{part}_seconds_sum", 0.0) / total for part in PARTS} if total else {}
    answered = more.get("request_seconds_count", 0.0)
    return Measured(answered, mean("batch_rows"), mean("padding_ratio"), mean("request_seconds"), parts)
