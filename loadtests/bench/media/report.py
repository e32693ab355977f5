"""What `media` measured, as a table and against its targets."""

from dataclasses import asdict

from loadtests.bench.measurement import middle
from loadtests.bench.media.benchmark import CALLERS, SUBJECTS, Figures, Plan
from loadtests.load.percentiles import mean, median
from loadtests.report.report import Cell, Report
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
    "Medians of all loads. Decode: from the file's bytes to what the model reads (picture or sound, resizing, "
    "resampling, features). CPU: per file, over all processes of the service.",
    "Offline: all files known beforehand, in batches made by the service's own rule, on one thread: decoded first, "
    "then through the model.",
]


def report(plan: Plan, figures: Figures) -> Report:
    settings = asdict(plan) | {"callers": CALLERS, "cpu_threads": 1}
    made = Report("media", settings, COLUMNS, notes=_NOTES)
    for part in figures.measured:
        made.rows += [_service_row(part, figures), *_limit_rows(part, figures)]
        made.targets += _targets(part, figures)
    made.rounds = {**figures.measured, **{f"{part} offline": passes for part, passes in figures.limits.items()}}
    return made


def _service_row(part: str, figures: Figures) -> tuple[Cell, ...]:
    m = middle(figures.measured[part])
    times = (m.p50_ms, m.p99_ms, m.cpu_ms, m.preprocess_ms, m.queue_ms, m.forward_ms)
    return (SUBJECTS[part].task, m.requests_per_s, *times, m.batch_rows, m.padding, m.busy, m.failed)


def _limit_rows(part: str, figures: Figures) -> list[tuple[Cell, ...]]:
    passes, files = figures.limits[part], figures.files
    decode = median([done.preprocess_s for done in passes]) / files * 1e3
    forward = median([done.forward_s for done in passes]) / files * 1e3
    empty = dict.fromkeys(COLUMNS)
    whole = empty | {"": "  offline", "files/s": 1e3 / (decode + forward), "decode ms": decode, "forward ms": forward}
    alone = empty | {"": "  offline, decoded beforehand", "files/s": 1e3 / forward, "forward ms": forward}
    return [tuple(whole.values()), tuple(alone.values())]


def _targets(part: str, figures: Figures) -> list[Target]:
    """The service over its limit: each load over the mean of the passes just before and just after it."""
    whole, forwards = [], []
    for index, load in enumerate(figures.measured[part]):
        before = index + index // figures.loads  # the limit runs once more than the loads between its passes
        around = figures.limits[part][before : before + 2]
        whole.append(load.requests_per_s * mean([done.wall_s for done in around]) / figures.files)
        forwards.append(load.requests_per_s * mean([done.forward_s for done in around]) / figures.files)
    task = SUBJECTS[part].task
    return [
        Target(f"{task} over offline", 0.85, median(whole)),
        Target("  over offline, decoded beforehand", 0.85, median(forwards)),
    ]
