"""What `overhead` measured, as a table and against its targets."""

from dataclasses import asdict

from loadtests.bench.measure import Measured, middle
from loadtests.bench.overhead import CALLERS, Figures, Plan
from loadtests.bench.percentiles import median
from loadtests.bench.report import Report
from loadtests.bench.targets import Target

COLUMNS = ("", "p50 at 1, ms", "p99 at 1, ms", "requests/s at 32", "p50 at 32, ms", "p99 at 32, ms", "CPU ms", "failed")

_LABELS = {
    "service, task route": "this service, task route",
    "service, gateway route": "this service, gateway route",
    "taught": "Ray Serve, ingress -> handle -> @serve.batch",
    "bare": "uvicorn + FastAPI, nothing behind",
}
_NOTES = [
    "Medians of all rounds. CPU: per request at 32 callers, over all processes of the server.",
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
        made.rows.append((_LABELS[name], at_1.p50_ms, at_1.p99_ms, *rates, at_1.failed + at_32.failed))
    made.notes = _NOTES
    made.targets = _targets(single, many)
    if figures.gateway_mb:
        made.targets.append(Target("gateway's resident memory, MiB", 220, median(figures.gateway_mb), at_most=True))
    made.rounds = {
        "1 caller": figures.single,
        "32 callers": figures.many,
        "gateway_mb": figures.gateway_mb,
    }
    return made


def _targets(single: dict[str, Measured], many: dict[str, Measured]) -> list[Target]:
    name = "service, task route"
    if name not in many:
        return []
    targets = [
        Target("task route: CPU ms per request at 32", 0.9, many[name].cpu_ms, at_most=True),
        Target("task route: p50 at 1, ms", 1.5, single[name].p50_ms, at_most=True),
    ]
    if "taught" in many:
        share = many[name].cpu_ms / many["taught"].cpu_ms
        targets.append(Target("task route: CPU over the taught composition's", 0.1, share, at_most=True))
    return targets
