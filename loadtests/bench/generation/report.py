"""What `generation` measured, as a table and against its targets."""

import math
from collections.abc import Callable
from dataclasses import asdict

from loadtests.bench.generation.backends.continuous import BATCH_TOKENS, BLOCKS, PAGE_SIZE
from loadtests.bench.generation.backends.engine import ROWS
from loadtests.bench.generation.benchmark import PARTS, SHARE, WAITING, Figures, Measured, Plan
from loadtests.bench.generation.models import FAMILIES
from loadtests.bench.generation.requests import NEW_MEDIAN, PROMPT_MEDIAN, SHORTEST, mean_lengths
from loadtests.load.percentiles import mean, median
from loadtests.report.report import Cell, Report
from loadtests.report.targets import Target

COLUMNS = (
    "",
    "tokens/s",
    "of limit",
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
    "engine": "this engine, in process",
    "static": f"static batches of {ROWS}, generate",
    "alone": "one by one, generate",
    "continuous": "continuous batching of transformers",
    "service": "this service, HTTP",
    "serve": "transformers serve, HTTP",
}
_NAMES = {"llama": "Llama", "t5": "T5"}


def report(plan: Plan, figures: Figures) -> Report:
    prompt, new = mean_lengths(plan.longest)
    settings = asdict(plan) | {"rows": ROWS, "share": SHARE, "mean_prompt": prompt, "mean_new": new, "cpu_threads": 1}
    made = Report("generation", settings, COLUMNS, notes=_notes(plan, prompt, new))
    for family in FAMILIES:
        if family not in figures.limits:
            continue
        made.rows.append(_limit_row(family, figures, prompt, new))
        for part in PARTS:
            if part.startswith(f"{family}-") and part in figures.measured:
                made.rows.append(_row(part, figures.measured[part]))
            elif part.startswith(f"{family}-") and part in figures.missing:
                made.rows.append((f"  {_label(part)}", "did not start", *[None] * (len(COLUMNS) - 2)))
                made.notes.append(f"{_label(part)} did not start: {figures.missing[part]}")
        made.targets += _targets(family, figures)
    made.rounds = {**figures.measured, **{f"{family} limit": passes for family, passes in figures.limits.items()}}
    return made


def _notes(plan: Plan, prompt: int, new: int) -> list[str]:
    return [
        f"Prompts and answers of log-normal length, medians {PROMPT_MEDIAN} and {NEW_MEDIAN}, {SHORTEST} to "
        f"{plan.longest} tokens, means {prompt} and {new}. Limit: one static batch of {ROWS} rows that all have these "
        "means, offline; tokens/s of others over the passes just before and after.",
        f"Tokens/s: saturated, {WAITING} requests always under way ({ROWS} for transformers serve, which has no limit "
        "of rows and is slower with more). Per CPU s: of the process that has both model and load.",
        f"First token and gaps between tokens: requests at random moments, at {SHARE} of what the limit could do, "
        "counted from when each was due. > : requests without a token by the end, whose waiting until then is counted.",
        f"Continuous batching: page_size={PAGE_SIZE}, num_blocks={BLOCKS}, max_batch_tokens={BATCH_TOKENS}.",
    ]


def _label(part: str) -> str:
    return _LABELS[part.partition("-")[2]]


def _row(part: str, rounds: list[Measured]) -> tuple[Cell, ...]:
    def middle(figure: Callable[[Measured], float]) -> float:
        return median([figure(each) for each in rounds])

    waits = [each.latency for each in rounds]
    late = "> " if any(wait.unheard > 0.01 * wait.requests for wait in waits) else ""
    very_late = "> " if any(wait.unheard > 0.5 * wait.requests for wait in waits) else ""
    return (
        f"  {_label(part)}",
        middle(lambda each: each.tokens_per_s),
        median([_of_limit(each) for each in rounds]),
        middle(lambda each: each.tokens_per_cpu_s),
        f"{very_late}{middle(lambda each: each.latency.first_p50_ms):,.0f}",
        f"{late}{middle(lambda each: each.latency.first_p99_ms):,.0f}",
        middle(lambda each: each.latency.gap_p50_ms),
        middle(lambda each: each.latency.gap_p99_ms),
        sum(wait.requests for wait in waits),
        sum(wait.unfinished for wait in waits),
        sum(sum(each.failures.values()) for each in rounds),
    )


def _limit_row(family: str, figures: Figures, prompt: int, new: int) -> tuple[Cell, ...]:
    passes = figures.limits[family]
    row: dict[str, Cell] = dict.fromkeys(COLUMNS)
    row |= {"": f"{_NAMES[family]}: offline, {ROWS} rows of {prompt} + {new} tokens", "of limit": 1.0}
    row["tokens/s"] = median([done.tokens / done.wall_s for done in passes])
    row["per CPU s"] = median([done.tokens / done.cpu_s for done in passes])
    return tuple(row.values())


def _of_limit(each: Measured) -> float:
    """Tokens/s over the mean of the limits around it: a shared machine is slow for a minute and fast for the next."""
    return each.tokens_per_s / mean([done.tokens / done.wall_s for done in each.limits])


def _of_limit_by_cpu(each: Measured) -> float:
    return each.tokens_per_cpu_s / mean([done.tokens / done.cpu_s for done in each.limits])


def _targets(family: str, figures: Figures) -> list[Target]:
    engine, static = (figures.measured.get(f"{family}-{name}", []) for name in ("engine", "static"))
    name = _NAMES[family]
    targets: list[Target] = []
    if engine:
        targets += [
            Target(f"{name}: tokens/s over equal lengths offline", 0.9, median(list(map(_of_limit, engine)))),
            Target("  the same by processor time", 0.9, median(list(map(_of_limit_by_cpu, engine)))),
        ]
    if engine and static:
        pairs = list(zip(engine, static, strict=False))
        # Each over the limits around it, which stand for how fast the machine was then.
        faster = median([_of_limit(ours) / _of_limit(theirs) for ours, theirs in pairs])
        by_cpu = median([ours.tokens_per_cpu_s / theirs.tokens_per_cpu_s for ours, theirs in pairs])
        waits = median([ours.latency.first_p99_ms / theirs.latency.first_p99_ms for ours, theirs in pairs])
        targets += [
            Target(f"{name}: tokens/s over static batches", 2.0, faster),
            Target("  the same by processor time", 2.0, by_cpu),
            Target(f"{name}: first token p99 over static batches", 1 / 3, waits, at_most=True),
        ]
    return [target for target in targets if not math.isnan(target.measured)]
