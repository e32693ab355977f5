"""What `batching` measured, as a table and against its targets."""

import math
from dataclasses import asdict

from loadtests.bench.batching.benchmark import CALLERS, Figures, Plan
from loadtests.bench.batching.offline import Pass
from loadtests.bench.measurement import middle
from loadtests.load.percentiles import median
from loadtests.report.report import Cell, Report
from loadtests.report.targets import Target

COLUMNS = (
    "",
    "texts/s",
    "best",
    "p50 ms",
    "p99 ms",
    "CPU ms",
    "thread ms",
    "rows/batch",
    "padding",
    "queue ms",
    "forward ms",
    "busy",
    "failed",
)

_LABELS = {
    "service": "this service, MiniLM",
    "fastapi": "FastAPI, one forward per request",
    "taught": "Ray Serve, @serve.batch(32)",
    "deberta": "this service, DeBERTa-v2",
}
_NOTES = [
    "Medians of all rounds; best: of one round. CPU: per text, over all processes of the server; thread: of its "
    "busiest thread. Rows and padding: means over texts. Busy: share of the time in which the model ran.",
    "Offline: texts known beforehand and tokenized before the clock runs, nothing pooled, written or sent; packed in "
    "arrival order, padded in length-sorted batches of 8, as transformers computes them. Recorded: from a graph; cut: "
    "with DeBERTa's tables of relative positions cut to what a batch needs; both as in the service.",
]


def report(plan: Plan, figures: Figures) -> Report:
    settings = asdict(plan) | {"callers": CALLERS, "cpu_threads": 1}
    made = Report("batching", settings, COLUMNS, notes=_NOTES)
    for name in ("service", "fastapi", "taught", "deberta"):
        if name in figures.measured:
            made.rows.append(_service_row(name, figures))
        made.rows += [_limit_row(limit, figures) for limit in figures.limits if limit.startswith(name)]
    made.targets = _targets(figures)
    made.rounds = {**figures.measured, **figures.limits}
    return made


def _service_row(name: str, figures: Figures) -> tuple[Cell, ...]:
    rounds = figures.measured[name]
    m = middle(rounds)
    rate = (m.requests_per_s, max(each.requests_per_s for each in rounds))
    batch = (m.batch_rows, m.padding, m.queue_ms, m.forward_ms, m.busy)
    return (_LABELS[name], *rate, m.p50_ms, m.p99_ms, m.cpu_ms, m.thread_ms, *batch, m.failed)


def _limit_row(limit: str, figures: Figures) -> tuple[Cell, ...]:
    passes = figures.limits[limit]
    rates = _rates(passes, figures.texts)
    cpu = median([done.cpu_s for done in passes]) / figures.texts * 1e3
    row: dict[str, Cell] = dict.fromkeys(COLUMNS)
    row |= {"": f"  offline, {limit.partition(' ')[2]}", "texts/s": median(rates), "best": max(rates), "CPU ms": cpu}
    row |= {"thread ms": cpu, "padding": passes[0].padding}
    return tuple(row.values())


def _rates(passes: list[Pass], texts: int) -> list[float]:
    return [texts / done.wall_s for done in passes]


def _targets(figures: Figures) -> list[Target]:
    of = {name: middle(rounds) for name, rounds in figures.measured.items() if rounds}
    targets: list[Target] = []
    if "service" in of:
        service = of["service"]
        taught = of["taught"].requests_per_s if "taught" in of else math.nan
        targets += [
            *_over_limit("over the best packed offline", 0.9, "service", figures, "service packed"),
            *_over_limit("over padded offline", 1.0, "service", figures, "service padded"),
            Target("texts/s over Ray Serve's batching", 3.0, service.requests_per_s / taught),
            Target("p99 over p50", 2.5, service.p99_ms / service.p50_ms, at_most=True),
        ]
    if "deberta" in of:
        padding = of["deberta"].padding
        targets += [
            *_over_limit("over padded offline, DeBERTa", 0.9, "deberta", figures, "deberta padded"),
            Target("mean padding, DeBERTa", 0.10, math.nan if padding is None else padding, at_most=True),
        ]
    return [target for target in targets if not math.isnan(target.measured)]  # parts that were left out


def _over_limit(name: str, wanted: float, contender: str, figures: Figures, limit: str) -> list[Target]:
    """A contender over the best of the limits whose names begin so: by the clock, and by processor time.

    A shared machine is slow for a minute and fast for the next, so every load is compared with the limit's passes just
    before and just after it, and the median of these ratios counts. By processor time, the CPU per text of the limit is
    divided by that of the model's thread, idle time of the model included: what others do on the machine stretches the
    clock, and not for both alike, but processor time only a little.
    """
    limits = [passes for name, passes in figures.limits.items() if name.startswith(limit)]
    if not limits:
        return []
    best = max(limits, key=lambda passes: median(_rates(passes, figures.texts)))
    by_clock, by_cpu = [], []
    for index, load in enumerate(figures.measured[contender]):
        # A limit runs once more than the loads between its passes, in every round.
        before = index + index // figures.loads
        around = best[before : before + 2]
        by_clock.append(load.requests_per_s * _mean([done.wall_s for done in around]) / figures.texts)
        if load.busy is not None:
            cpu_ms = _mean([done.cpu_s for done in around]) / figures.texts * 1e3
            by_cpu.append(cpu_ms * load.busy / load.thread_ms)
    return [
        Target(f"texts/s {name}", wanted, median(by_clock)),
        Target("  the same by processor time", wanted, median(by_cpu) if by_cpu else math.nan),
    ]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
