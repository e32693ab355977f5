"""The report of `generation`: a table and targets."""

import math
from collections.abc import Callable
from dataclasses import asdict

from loadtests.bench.generation.backends.continuous import BATCH_TOKENS, BLOCKS, PAGE_SIZE
from loadtests.bench.generation.backends.engine import MAX_ROWS
from loadtests.bench.generation.benchmark import (
    ARRIVAL_SHARE,
    IN_FLIGHT,
    PARTS,
    GenerationMeasurement,
    Measurements,
    Plan,
)
from loadtests.bench.generation.models import FAMILIES
from loadtests.bench.generation.requests import MIN_TOKENS, NEW_MEDIAN, PROMPT_MEDIAN, mean_lengths
from loadtests.load.percentiles import mean, median
from loadtests.report.table import Cell, TableReport
from loadtests.report.targets import Target

COLUMNS = (
    "",
    "tokens/s",
    "of offline",
    "per CPU s",
    "first p50 ms",
    "first p99 ms",
    "gap p50 ms",
    "gap p99 ms",
    "requests",
    "cut off",
    "failed",
)
_LABELS = {
    "paged": "this engine on OpenVINO",
    "engine": "this engine in torch",
    "static": f"static batches of {MAX_ROWS}, generate()",
    "alone": "one by one, generate()",
    "continuous": "transformers' continuous batching",
    "service": "this service, HTTP",
    "serve": "transformers serve, HTTP",
}
_NAMES = {"llama": "Llama", "t5": "T5"}


def report(plan: Plan, done: Measurements) -> TableReport:
    prompt, new = mean_lengths(plan.max_tokens)
    lengths = {"mean_prompt": prompt, "mean_new": new}
    settings = asdict(plan) | {"rows": MAX_ROWS, "arrival_share": ARRIVAL_SHARE, "cpu_threads": 1} | lengths
    made = TableReport("generation", settings, COLUMNS, notes=_notes(plan, prompt, new))
    for family in FAMILIES:
        if family not in done.offline:
            continue
        made.rows.append(_offline_row(family, done, prompt, new))
        for part in PARTS:
            if part.startswith(f"{family}-") and part in done.backends:
                made.rows.append(_row(part, done.backends[part]))
            elif part.startswith(f"{family}-") and part in done.missing:
                made.rows.append((f"  {_label(part)}", "did not start", *[None] * (len(COLUMNS) - 2)))
                made.notes.append(f"{_label(part)} did not start: {done.missing[part]}")
        made.targets += _targets(family, done)
    made.rounds = {**done.backends, **{f"{family} offline": passes for family, passes in done.offline.items()}}
    return made


def _notes(plan: Plan, prompt: int, new: int) -> list[str]:
    return [
        f"Prompts and completions have log-normal lengths: medians {PROMPT_MEDIAN} and {NEW_MEDIAN}, means {prompt} "
        f"and {new}, {MIN_TOKENS} to {plan.max_tokens} tokens. Offline: one static batch of {MAX_ROWS} rows that all "
        "have the mean lengths. Of offline: relative to the passes just before and after.",
        f"Tokens/s: saturated, with {IN_FLIGHT} requests in flight ({MAX_ROWS} for transformers serve, which has no "
        "limit of rows and is slower with more). Per CPU s: CPU time of the process with the model and the load "
        "generator.",
        f"First: time to first token; gap: inter-token latency. Requests arrive at random times, at {ARRIVAL_SHARE} of "
        "the offline throughput; latency counts from when a request was due. >: some requests had no token by the end, "
        "and count with their time until then.",
        f"Continuous batching: page_size={PAGE_SIZE}, num_blocks={BLOCKS}, max_batch_tokens={BATCH_TOKENS}.",
    ]


def _label(part: str) -> str:
    return _LABELS[part.partition("-")[2]]


def _row(part: str, rounds: list[GenerationMeasurement]) -> tuple[Cell, ...]:
    def middle(value: Callable[[GenerationMeasurement], float]) -> float:
        return median([value(each) for each in rounds])

    latencies = [each.latency for each in rounds]
    p50_bound = "> " if any(each.without_token > 0.5 * each.requests for each in latencies) else ""
    p99_bound = "> " if any(each.without_token > 0.01 * each.requests for each in latencies) else ""
    return (
        f"  {_label(part)}",
        middle(lambda each: each.tokens_per_s),
        middle(_of_offline),
        middle(lambda each: each.tokens_per_cpu_s),
        f"{p50_bound}{middle(lambda each: each.latency.first_p50_ms):,.0f}",
        f"{p99_bound}{middle(lambda each: each.latency.first_p99_ms):,.0f}",
        middle(lambda each: each.latency.gap_p50_ms),
        middle(lambda each: each.latency.gap_p99_ms),
        sum(each.requests for each in latencies),
        sum(each.unfinished for each in latencies),
        sum(sum(each.failures.values()) for each in rounds),
    )


def _offline_row(family: str, done: Measurements, prompt: int, new: int) -> tuple[Cell, ...]:
    passes = done.offline[family]
    row: dict[str, Cell] = dict.fromkeys(COLUMNS)
    row |= {"": f"{_NAMES[family]}: offline, {MAX_ROWS} rows of {prompt} + {new} tokens", "of offline": 1.0}
    row["tokens/s"] = median([each.tokens / each.wall_s for each in passes])
    row["per CPU s"] = median([each.tokens / each.cpu_s for each in passes])
    return tuple(row.values())


def _of_offline(each: GenerationMeasurement) -> float:
    """Relative to the passes around it, because the speed of a shared machine changes."""
    return each.tokens_per_s / mean([done.tokens / done.wall_s for done in each.offline])


def _of_offline_by_cpu(each: GenerationMeasurement) -> float:
    return each.tokens_per_cpu_s / mean([done.tokens / done.cpu_s for done in each.offline])


def _targets(family: str, done: Measurements) -> list[Target]:
    engine, static = (done.backends.get(f"{family}-{name}", []) for name in ("engine", "static"))
    name = _NAMES[family]
    targets: list[Target] = []
    if engine:
        targets += [
            Target(f"{name}: tokens/s, relative to offline", 0.9, median([_of_offline(each) for each in engine])),
            Target("  the same by CPU time", 0.9, median([_of_offline_by_cpu(each) for each in engine])),
        ]
    if engine and static:
        pairs = list(zip(engine, static, strict=False))
        # Each relative to the offline passes around it, because the speed of a shared machine changes.
        faster = median([_of_offline(ours) / _of_offline(theirs) for ours, theirs in pairs])
        by_cpu = median([ours.tokens_per_cpu_s / theirs.tokens_per_cpu_s for ours, theirs in pairs])
        waits = median([ours.latency.first_p99_ms / theirs.latency.first_p99_ms for ours, theirs in pairs])
        targets += [
            Target(f"{name}: tokens/s, relative to static batches", 2.0, faster),
            Target("  the same by CPU time", 2.0, by_cpu),
            Target(f"{name}: time to first token p99, relative to static batches", 1 / 3, waits, at_most=True),
        ]
    return [target for target in targets if not math.isnan(target.measured)]
