"""The report of `media`: a table and targets."""

from dataclasses import asdict

from loadtests.bench.measurement import median_of, passes_around
from loadtests.bench.media.benchmark import CLIENTS, SUBJECTS, Measurements, Plan
from loadtests.load.percentiles import mean, median
from loadtests.report.table import Cell, TableReport
from loadtests.report.targets import Target

COLUMNS = (
    "",
    "files/s",
    "p50 ms",
    "p99 ms",
    "CPU ms",
    "decode ms",
    "queue ms",
    "forward ms",
    "rows/batch",
    "padding",
    "busy",
    "failed",
)
_NOTES = [
    "Medians of all loads. Decode: from the file's bytes to the model's inputs (decoding, resizing, resampling, "
    "feature extraction). CPU: per file, over all processes of the service.",
    "Offline: all files in batches made by the service's own rule, on one thread; first all are decoded, then the "
    "model runs.",
]


def report(plan: Plan, done: Measurements) -> TableReport:
    settings = asdict(plan) | {"clients": CLIENTS, "cpu_threads": 1}
    made = TableReport("media", settings, COLUMNS, notes=_NOTES)
    for part in done.service:
        made.rows += [_service_row(part, done), *_offline_rows(part, done)]
        made.targets += _targets(part, done)
    made.rounds = {**done.service, **{f"{part} offline": passes for part, passes in done.offline.items()}}
    return made


def _service_row(part: str, done: Measurements) -> tuple[Cell, ...]:
    m = median_of(done.service[part])
    times = (m.p50_ms, m.p99_ms, m.cpu_ms, m.preprocess_ms, m.queue_ms, m.forward_ms)
    return (SUBJECTS[part].task, m.requests_per_s, *times, m.batch_rows, m.padding, m.busy, m.failed)


def _offline_rows(part: str, done: Measurements) -> list[tuple[Cell, ...]]:
    passes, files = done.offline[part], done.files
    decode = median([each.preprocess_s for each in passes]) / files * 1e3
    forward = median([each.forward_s for each in passes]) / files * 1e3
    empty = dict.fromkeys(COLUMNS)
    whole = empty | {"": "  offline", "files/s": 1e3 / (decode + forward), "decode ms": decode, "forward ms": forward}
    alone = empty | {"": "  offline, without decoding", "files/s": 1e3 / forward, "forward ms": forward}
    return [tuple(whole.values()), tuple(alone.values())]


def _targets(part: str, done: Measurements) -> list[Target]:
    whole, forwards = [], []
    for number, load in enumerate(done.service[part]):
        around = passes_around(done.offline[part], number, done.loads)
        whole.append(load.requests_per_s * mean([each.wall_s for each in around]) / done.files)
        forwards.append(load.requests_per_s * mean([each.forward_s for each in around]) / done.files)
    task = SUBJECTS[part].task
    return [
        Target(f"{task}: files/s, relative to offline", 0.85, median(whole)),
        Target("  relative to offline without decoding", 0.85, median(forwards)),
    ]
