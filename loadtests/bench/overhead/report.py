"""The report of `overhead`: a table and targets."""

from collections.abc import Mapping
from dataclasses import asdict

from loadtests.bench.measurement import Measurement, median_of
from loadtests.bench.overhead.benchmark import CLIENTS, TASK_ROUTE, Measurements, Plan
from loadtests.load.percentiles import median
from loadtests.report.table import TableReport
from loadtests.report.targets import Target

COLUMNS = (
    "",
    "p50 ms, 1 client",
    "p99 ms, 1 client",
    f"requests/s, {CLIENTS} clients",
    f"p50 ms, {CLIENTS} clients",
    f"p99 ms, {CLIENTS} clients",
    "CPU ms",
    "extra CPU ms",
    "extra p50 ms",
    "failed",
)

# CPU time per request of the bare server, on the machine that the targets in milliseconds were set on.
REFERENCE_BARE_MS = 0.14

_LABELS = {
    "service, task route": "this service, task route",
    "service, model route": "this service, /models/<model>",
    "service, gateway route": "this service, through the gateway",
    "unmeasured": "this service, without metrics and access log",
    "taught": "Ray Serve: ingress, handle, @serve.batch",
    "bare": "uvicorn + FastAPI",
}
_NOTES = [
    f"Medians of all rounds. CPU: per request with {CLIENTS} clients, over all processes of the server.",
    f"Extra: compared with {TASK_ROUTE}, which the protocol routes call in the same process. The model returns the "
    "same vector of 384 numbers for every text. Extra p50: with one client.",
    "With one client, Ray Serve's @serve.batch waits 10 ms for a second request.",
]


def report(plan: Plan, done: Measurements) -> TableReport:
    made = TableReport("overhead", asdict(plan) | {"clients": CLIENTS}, COLUMNS)
    single = {name: median_of(rounds) for name, rounds in done.single.items()}
    many = {name: median_of(rounds) for name, rounds in done.many.items()}
    for name, loaded in many.items():
        alone = single[name]
        rates = (loaded.requests_per_s, loaded.p50_ms, loaded.p99_ms, loaded.cpu_ms)
        extra = _extra(name, single, many)
        made.rows.append(
            (_LABELS.get(name, name), alone.p50_ms, alone.p99_ms, *rates, *extra, alone.failed + loaded.failed)
        )
    slowdown = _slowdown(many)
    made.notes = [*_NOTES, _slowdown_note(slowdown)]
    made.targets = _targets(single, many, slowdown) + _protocol_targets(single, many)
    if done.gateway_mib:
        made.targets.append(Target("gateway's resident memory, MiB", 220, median(done.gateway_mib), at_most=True))
    made.rounds = {"1 client": done.single, f"{CLIENTS} clients": done.many, "gateway_mib": done.gateway_mib}
    return made


def _extra(
    name: str, single: Mapping[str, Measurement], many: Mapping[str, Measurement]
) -> tuple[float | None, float | None]:
    """The cost of a protocol's route beyond the task route's; None for other rows."""
    if TASK_ROUTE not in many or not name.startswith("/") or name == TASK_ROUTE:
        return None, None
    return many[name].cpu_ms - many[TASK_ROUTE].cpu_ms, single[name].p50_ms - single[TASK_ROUTE].p50_ms


def _slowdown(many: Mapping[str, Measurement]) -> float:
    """This machine's CPU time over the reference machine's; 1 if the bare server did not run."""
    return many["bare"].cpu_ms / REFERENCE_BARE_MS if "bare" in many else 1.0


def _slowdown_note(slowdown: float) -> str:
    reference = f"Targets in ms are for a machine on which the bare server takes {REFERENCE_BARE_MS} ms of CPU"
    if slowdown == 1.0:
        return f"{reference}. Without that server (`bare`), they are compared with the values as measured."
    return f"{reference}. Here it takes {slowdown:.2f} times as long, by which values are divided for the comparison."


def _protocol_targets(single: Mapping[str, Measurement], many: Mapping[str, Measurement]) -> list[Target]:
    targets = []
    for name in many:
        if _extra(name, single, many)[0] is not None:
            own = many[TASK_ROUTE]
            share = many[name].cpu_ms / own.cpu_ms
            targets.append(Target(f"{name}: CPU, relative to the task's own route", 1.6, share, at_most=True))
            rate = many[name].requests_per_s / own.requests_per_s
            targets.append(Target(f"{name}: requests/s, relative to the task's own route", 0.6, rate))
    return targets


def _targets(single: Mapping[str, Measurement], many: Mapping[str, Measurement], slowdown: float) -> list[Target]:
    name = "service, task route"
    if name not in many:
        return []
    cpu_ms = many[name].cpu_ms
    targets = [
        Target(f"task route: CPU ms with {CLIENTS} clients", 0.9, cpu_ms / slowdown, at_most=True),
        Target("task route: p50 ms with 1 client", 1.5, single[name].p50_ms / slowdown, at_most=True),
    ]
    if "unmeasured" in many:
        share = cpu_ms / many["unmeasured"].cpu_ms
        targets.append(Target("task route: CPU, relative to no metrics and access log", 1.1, share, at_most=True))
    if "taught" in many:
        share = cpu_ms / many["taught"].cpu_ms
        targets.append(Target("task route: CPU, relative to Ray Serve's example", 0.1, share, at_most=True))
    return targets
