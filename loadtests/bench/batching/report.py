"""The report of `batching`: a table and targets."""

import math
from dataclasses import asdict

from loadtests.bench.batching.benchmark import CLIENTS, Measurements, Plan
from loadtests.bench.batching.offline import OfflinePass
from loadtests.bench.measurement import median_of, passes_around
from loadtests.load.percentiles import mean, median
from loadtests.report.table import Cell, TableReport
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
    "Medians of all rounds; best: of one load. CPU: per text, over all processes of the server; thread: CPU of its "
    "busiest thread. Rows and padding: means over texts. Busy: share of the time in which the model ran.",
    "Offline: all texts are tokenized beforehand; no pooling, JSON or HTTP. Packed: in arrival order. Padded: in "
    "length-sorted batches of 8, as computed by transformers. Traced: from a traced graph. Sliced: with DeBERTa's "
    "tables of relative positions sliced to the length of the batch. The service uses both.",
]


def report(plan: Plan, done: Measurements) -> TableReport:
    settings = asdict(plan) | {"clients": CLIENTS, "cpu_threads": 1}
    made = TableReport("batching", settings, COLUMNS, notes=_NOTES)
    for name in ("service", "fastapi", "taught", "deberta"):
        if name in done.servers:
            made.rows.append(_server_row(name, done))
        made.rows += [_offline_row(kind, done) for kind in done.offline if kind.startswith(name)]
    made.targets = _targets(done)
    made.rounds = {**done.servers, **done.offline}
    return made


def _server_row(name: str, done: Measurements) -> tuple[Cell, ...]:
    rounds = done.servers[name]
    m = median_of(rounds)
    rate = (m.requests_per_s, max(each.requests_per_s for each in rounds))
    batch = (m.batch_rows, m.padding, m.queue_ms, m.forward_ms, m.busy)
    return (_LABELS[name], *rate, m.p50_ms, m.p99_ms, m.cpu_ms, m.thread_ms, *batch, m.failed)


def _offline_row(kind: str, done: Measurements) -> tuple[Cell, ...]:
    passes = done.offline[kind]
    rates = _rates(passes, done.texts)
    cpu_ms = median([each.cpu_s for each in passes]) / done.texts * 1e3
    row: dict[str, Cell] = dict.fromkeys(COLUMNS)
    row |= {"": f"  offline, {kind.partition(' ')[2]}", "texts/s": median(rates), "best": max(rates), "CPU ms": cpu_ms}
    row |= {"thread ms": cpu_ms, "padding": passes[0].padding}
    return tuple(row.values())


def _rates(passes: list[OfflinePass], texts: int) -> list[float]:
    return [texts / each.wall_s for each in passes]


def _targets(done: Measurements) -> list[Target]:
    servers = {name: median_of(rounds) for name, rounds in done.servers.items() if rounds}
    targets: list[Target] = []
    if "service" in servers:
        service = servers["service"]
        ray_serve = servers["taught"].requests_per_s if "taught" in servers else math.nan
        targets += [
            *_offline_targets("the best packed offline pass", 0.9, "service", done, "service packed"),
            *_offline_targets("the padded offline pass", 1.0, "service", done, "service padded"),
            Target("texts/s, relative to Ray Serve's batching", 3.0, service.requests_per_s / ray_serve),
            Target("p99 latency, relative to p50", 2.5, service.p99_ms / service.p50_ms, at_most=True),
        ]
    if "deberta" in servers:
        padding = servers["deberta"].padding
        targets += [
            *_offline_targets("the padded offline pass, DeBERTa", 0.9, "deberta", done, "deberta padded"),
            Target("mean padding, DeBERTa", 0.10, math.nan if padding is None else padding, at_most=True),
        ]
    return [target for target in targets if not math.isnan(target.measured)]  # parts that did not run


def _offline_targets(name: str, bound: float, server: str, done: Measurements, offline: str) -> list[Target]:
    """A server's throughput relative to the best offline pass whose name begins with `offline`.

    Once by elapsed time, and once by CPU time, which other work on the machine affects less: the CPU time per text of
    the offline pass over that of the thread that runs the model, including the model's idle time.
    """
    candidates = [passes for kind, passes in done.offline.items() if kind.startswith(offline)]
    if not candidates:
        return []
    best = max(candidates, key=lambda passes: median(_rates(passes, done.texts)))
    by_time, by_cpu = [], []
    for number, load in enumerate(done.servers[server]):
        around = passes_around(best, number, done.loads)
        by_time.append(load.requests_per_s * mean([each.wall_s for each in around]) / done.texts)
        if load.busy is not None:
            cpu_ms = mean([each.cpu_s for each in around]) / done.texts * 1e3
            by_cpu.append(cpu_ms * load.busy / load.thread_ms)
    return [
        Target(f"texts/s, relative to {name}", bound, median(by_time)),
        Target("  the same by CPU time", bound, median(by_cpu)),
    ]
