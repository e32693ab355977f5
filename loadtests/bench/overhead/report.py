"""What `overhead` measured, as a table and against its targets."""

from collections.abc import Mapping
from dataclasses import asdict

from loadtests.bench.measurement import Measured, middle
from loadtests.bench.overhead.benchmark import CALLERS, TASK_ROUTE, Figures, Plan
from loadtests.load.percentiles import median
from loadtests.report.report import Report
from loadtests.report.targets import Target

COLUMNS = (
    "",
    "p50 at 1, ms",
    "p99 at 1, ms",
    "requests/s at 32",
    "p50 at 32, ms",
    "p99 at 32, ms",
    "CPU ms",
    "more CPU ms",
    "more p50 at 1, ms",
    "failed",
)

# Processor time of a request to the bare server on the machine that the targets in milliseconds were set on.
REFERENCE_BARE_MS = 0.14

_LABELS = {
    "service, task route": "this service, task route",
    "service, gateway route": "this service, gateway route",
    "unmeasured": "the same without metrics and log lines",
    "taught": "Ray Serve, ingress -> handle -> @serve.batch",
    "bare": "uvicorn + FastAPI, nothing behind",
}
_NOTES = [
    "Medians of all rounds. CPU: per request at 32 callers, over all processes of the server.",
    f"More: than {TASK_ROUTE}, which a protocol's route asks itself; there the model answers any text with one and the "
    "same vector of 384 numbers.",
    "At one caller, 10 ms of the taught composition's time are its batch waiting for a second request.",
]


def report(plan: Plan, figures: Figures) -> Report:
    settings = asdict(plan) | {"callers": CALLERS}
    made = Report("overhead", settings, COLUMNS)
    single = {name: middle(rounds) for name, rounds in figures.single.items()}
    many = {name: middle(rounds) for name, rounds in figures.many.items()}
    for name, at_32 in many.items():
        at_1 = single[name]
        rates = (at_32.requests_per_s, at_32.p50_ms, at_32.p99_ms, at_32.cpu_ms)
        more = _more(name, single, many)
        made.rows.append((_LABELS.get(name, name), at_1.p50_ms, at_1.p99_ms, *rates, *more, at_1.failed + at_32.failed))
    speed = _speed(many)
    made.notes = _NOTES + _of_speed(speed)
    made.targets = _targets(single, many, speed) + _gateway_targets(single, many, speed)
    if figures.gateway_mb:
        made.targets.append(Target("gateway's resident memory, MiB", 220, median(figures.gateway_mb), at_most=True))
    made.rounds = {
        "1 caller": figures.single,
        "32 callers": figures.many,
        "gateway_mb": figures.gateway_mb,
    }
    return made


def _more(name: str, single: Mapping[str, Measured], many: Mapping[str, Measured]) -> tuple[float | None, float | None]:
    """What a protocol's route costs beyond the task's own; nothing for all others."""
    if TASK_ROUTE not in many or not name.startswith("/") or name == TASK_ROUTE:
        return None, None
    return many[name].cpu_ms - many[TASK_ROUTE].cpu_ms, single[name].p50_ms - single[TASK_ROUTE].p50_ms


def _speed(many: Mapping[str, Measured]) -> float:
    """How much slower than the reference this machine was during this run; 1 where the bare server did not run."""
    return many["bare"].cpu_ms / REFERENCE_BARE_MS if "bare" in many else 1.0


def _of_speed(speed: float) -> list[str]:
    told = f"Targets in milliseconds are for a machine on which the bare server takes {REFERENCE_BARE_MS} ms of CPU"
    if speed == 1.0:
        return [f"{told}; without it (`bare`) they are compared with this machine's own."]
    return [f"{told}; here it took {speed:.2f} times that, and what is compared with them is divided by it."]


def _gateway_targets(single: Mapping[str, Measured], many: Mapping[str, Measured], speed: float) -> list[Target]:
    more = ((name, _more(name, single, many)[0]) for name in many)
    return [
        Target(f"{name}: CPU ms more than the task route", 2.5, cpu_ms / speed, at_most=True)
        for name, cpu_ms in more
        if cpu_ms is not None
    ]


def _targets(single: Mapping[str, Measured], many: Mapping[str, Measured], speed: float) -> list[Target]:
    name = "service, task route"
    if name not in many:
        return []
    targets = [
        Target("task route: CPU ms per request at 32", 0.9, many[name].cpu_ms / speed, at_most=True),
        Target("task route: p50 at 1, ms", 1.5, single[name].p50_ms / speed, at_most=True),
    ]
    if "unmeasured" in many:
        share = many[name].cpu_ms / many["unmeasured"].cpu_ms
        targets.append(Target("task route: CPU over that without metrics and log lines", 1.1, share, at_most=True))
    if "taught" in many:
        share = many[name].cpu_ms / many["taught"].cpu_ms
        targets.append(Target("task route: CPU over the taught composition's", 0.1, share, at_most=True))
    return targets
