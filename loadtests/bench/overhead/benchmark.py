"""`overhead`: the cost of a request apart from the model, which does nothing."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtests.bench.encoders import build_tiny
from loadtests.bench.measurement import Measurement, measure
from loadtests.bench.servers.start import (
    EXAMPLE,
    NAME,
    NOOP_PATH,
    SERVICE_PATH,
    fastapi_app,
    noop_service,
    ray_serve_app,
)
from loadtests.load.http_load import ClosedLoad
from loadtests.load.load_process import LoadProcess, load_process
from loadtests.processes.server import Server
from loadtests.report.progress import Log

CLIENTS = 32
WARM_UP_REQUESTS = 500
GATEWAY_TITLE = "ServeReplica:gateway"

PARTS = ("service", "unmeasured", "taught", "bare", "protocols")
OURS = frozenset({"service", "unmeasured", "protocols"})
TASK_ROUTE = SERVICE_PATH  # the protocols are compared with it


@dataclass(frozen=True, slots=True)
class Route:
    """A route of a server, and a body for it."""

    path: str
    body: str = EXAMPLE


_TEXT = "A man plays a guitar."
_TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [_TEXT]}
_ROUTES: Mapping[str, Mapping[str, Route]] = {
    "service": {
        "service, task route": Route(NOOP_PATH),
        "service, model route": Route(f"/models/{NAME}"),
        # HAProxy does not decode paths, so that this name leads to the gateway.
        "service, gateway route": Route(f"/models/%{ord(NAME[0]):x}{NAME[1:]}"),
    },
    "unmeasured": {"unmeasured": Route(NOOP_PATH)},
    "taught": {"taught": Route("/")},
    "bare": {"bare": Route("/")},
    "protocols": {
        TASK_ROUTE: Route(TASK_ROUTE),
        "/models/<model>": Route(f"/models/{NAME}"),
        "/models/<model>/pipeline/feature-extraction": Route(f"/models/{NAME}/pipeline/feature-extraction"),
        "/v1/embeddings": Route("/v1/embeddings", json.dumps({"model": NAME, "input": _TEXT})),
        "/embed": Route("/embed"),
        "/v2/models/<model>/infer": Route(f"/v2/models/{NAME}/infer", json.dumps({"inputs": [_TENSOR]})),
    },
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        single: number of requests with one client.
        many: maximum number of requests with 32 clients.
        seconds: maximum duration of each load.
        rounds: number of times that each server is started and measured.
        parts: of `PARTS`.
    """

    single: int = 600
    many: int = 6000
    seconds: float = 15.0
    rounds: int = 3
    parts: tuple[str, ...] = PARTS


QUICK: dict[str, Any] = {"single": 300, "many": 2000, "seconds": 8.0, "rounds": 1}


@dataclass(slots=True)
class Measurements:
    """By server and route: with one client, and with 32. And the gateway's resident memory."""

    single: dict[str, list[Measurement]] = field(default_factory=lambda: defaultdict(list))
    many: dict[str, list[Measurement]] = field(default_factory=lambda: defaultdict(list))
    gateway_mib: list[float] = field(default_factory=list)


def run(plan: Plan, log: Log) -> Measurements:
    """Measure all parts of the plan in every round."""
    done = Measurements()
    with TemporaryDirectory(prefix="bench-") as folder, load_process() as loads:
        start = _starters(build_tiny(Path(folder)) if OURS & set(plan.parts) else Path())
        for number in range(plan.rounds):
            log(f"round {number + 1} of {plan.rounds}")
            for part in plan.parts:
                log(f"{part}: starting")
                with start[part]() as server:
                    for name, route in _ROUTES[part].items():
                        _measure(name, route, plan, server, loads, done)
                        many = done.many[name][-1]
                        log(f"{name}: {many.requests_per_s:.0f} requests/s, {many.cpu_ms:.2f} ms CPU per request")
                    resident = server.tree.resident_mib(GATEWAY_TITLE)
                    if resident is not None:
                        done.gateway_mib.append(resident)
    return done


def _starters(folder: Path) -> Mapping[str, Callable[[], AbstractContextManager[Server]]]:
    """Starts the server of each part; `folder` has the checkpoint that this service loads."""
    return {
        "service": lambda: noop_service(folder),
        "unmeasured": lambda: noop_service(folder, "--unmeasured"),
        "protocols": lambda: noop_service(folder, "--vectors", path=TASK_ROUTE),
        "taught": ray_serve_app,
        "bare": fastapi_app,
    }


def _measure(name: str, route: Route, plan: Plan, server: Server, loads: LoadProcess, done: Measurements) -> None:
    def load(requests: int, clients: int) -> ClosedLoad:
        return ClosedLoad(
            port=server.port,
            path=route.path,
            bodies=[route.body],
            requests=requests,
            concurrency=clients,
            seconds=plan.seconds,
        )

    loads.run(load(WARM_UP_REQUESTS, CLIENTS))
    done.single[name].append(measure(server, loads, load(plan.single, 1)))
    done.many[name].append(measure(server, loads, load(plan.many, CLIENTS)))
