"""`overhead`: what a server costs beside the model. The model does nothing; everything is measured in one run."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.bench.encoders import build_tiny
from loadtests.bench.measurement import Measured, measure
from loadtests.bench.servers.start import EXAMPLE, NAME
from loadtests.load.closed_load import Load
from loadtests.load.load_process import LoadProcess, load_process
from loadtests.processes.server import Server, running
from loadtests.report.progress import Say

CALLERS = 32
WARM_UP_REQUESTS = 500
GATEWAY_TITLE = "ServeReplica:gateway"

PARTS = ("service", "unmeasured", "taught", "bare", "protocols")
OURS = frozenset({"service", "unmeasured", "protocols"})
TASK_ROUTE = "/tasks/feature-extraction"  # what the protocols are compared with


@dataclass(frozen=True, slots=True)
class Asked:
    """A route of a server, and a body that it takes."""

    path: str
    body: str = EXAMPLE


_TEXT = "A man plays a guitar."
_TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [_TEXT]}
_ROUTES: Mapping[str, Mapping[str, Asked]] = {
    "service": {
        "service, task route": Asked("/tasks/no-op"),
        "service, gateway route": Asked(f"/models/{NAME}"),
    },
    "unmeasured": {"unmeasured": Asked("/tasks/no-op")},
    "taught": {"taught": Asked("/")},
    "bare": {"bare": Asked("/")},
    "protocols": {
        TASK_ROUTE: Asked(TASK_ROUTE),
        "/models/<model>": Asked(f"/models/{NAME}"),
        "/models/<model>/pipeline/feature-extraction": Asked(f"/models/{NAME}/pipeline/feature-extraction"),
        "/v1/embeddings": Asked("/v1/embeddings", json.dumps({"model": NAME, "input": _TEXT})),
        "/embed": Asked("/embed"),
        "/v2/models/<model>/infer": Asked(f"/v2/models/{NAME}/infer", json.dumps({"inputs": [_TENSOR]})),
    },
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        single: requests of the one caller.
        many: requests of the 32 callers, at most.
        seconds: time for each of the two, at most.
        rounds: how often every contender is started and measured.
        parts: of `PARTS`.
    """

    single: int = 600
    many: int = 6000
    seconds: float = 15.0
    rounds: int = 3
    parts: tuple[str, ...] = PARTS


@dataclass(slots=True)
class Figures:
    """Everything measured, by contender: with one caller, with 32, and the gateway's memory."""

    single: dict[str, list[Measured]] = field(default_factory=lambda: defaultdict(list))
    many: dict[str, list[Measured]] = field(default_factory=lambda: defaultdict(list))
    gateway_mb: list[float] = field(default_factory=list)


def run(plan: Plan, say: Say) -> Figures:
    """Measure all parts of the plan, each round all of them."""
    figures = Figures()
    with TemporaryDirectory(prefix="bench-") as folder, load_process() as loads:
        start = _starters(build_tiny(Path(folder)) if OURS & set(plan.parts) else Path())
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            for part in plan.parts:
                say(f"{part}: starting")
                with start[part]() as server:
                    for name, asked in _ROUTES[part].items():
                        _measure(name, asked, plan, server, loads, figures)
                        many = figures.many[name][-1]
                        say(f"{name}: {many.requests_per_s:.0f} requests/s, {many.cpu_ms:.2f} ms CPU each")
                    resident = server.tree.resident_mb(GATEWAY_TITLE)
                    if resident is not None:
                        figures.gateway_mb.append(resident)
    return figures


def _starters(folder: Path) -> Mapping[str, Callable[[], AbstractContextManager[Server]]]:
    """How each part is started; `folder` has the checkpoint that this service loads."""
    noop, service = "loadtests.bench.servers.noop_service", ["--model", str(folder)]
    return {
        "service": lambda: running(noop, service, "/tasks/no-op", EXAMPLE, model=NAME),
        "unmeasured": lambda: running(noop, [*service, "--unmeasured"], "/tasks/no-op", EXAMPLE, model=NAME),
        "protocols": lambda: running(noop, [*service, "--vectors"], TASK_ROUTE, EXAMPLE, model=NAME),
        "taught": lambda: running("loadtests.bench.servers.taught_noop", (), "/", EXAMPLE),
        "bare": lambda: running("loadtests.bench.servers.fastapi_noop", (), "/", EXAMPLE),
    }


def _measure(name: str, asked: Asked, plan: Plan, server: Server, loads: LoadProcess, figures: Figures) -> None:
    def load(requests: int, concurrency: int) -> Load:
        return Load(server.port, asked.path, [asked.body], requests, concurrency, seconds=plan.seconds)

    loads.run(load(WARM_UP_REQUESTS, CALLERS))
    figures.single[name].append(measure(server, loads, load(plan.single, 1)))
    figures.many[name].append(measure(server, loads, load(plan.many, CALLERS)))
