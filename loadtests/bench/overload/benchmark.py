"""`overload`: an encoder under an open load from half to ten times its capacity, and its recovery.

A refusal costs about the same for every model, and a fast model has more of them.

The load generator is a process of its own on the same machine. Its CPU time is reported, because the service lacks it.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtests.bench.encoders import EncoderName, encoder
from loadtests.bench.overload.recovery import Recovery, recovery
from loadtests.bench.servers.start import NAME, SERVICE_PATH, service
from loadtests.load.arrivals import Phase
from loadtests.load.http_load import ClosedLoad, OpenLoad
from loadtests.load.load_process import LoadProcess, load_process
from loadtests.load.statistics import LoadStatistics, load_statistics
from loadtests.processes.server import Server
from loadtests.report.progress import Log
from loadtests.traffic.texts import sample_texts

CLIENTS = 64  # that measure the capacity
WARM_UP_TEXTS = 128
RECOVERY_LOAD = 0.5  # of the capacity
GRACE_S = 1.0  # of a client's timeout, beyond the service's
MAX_RATE = 3000.0  # requests/s that one process can send even on a busy core


class RoutePath(StrEnum):
    """Which route of the model gets the load."""

    TASK = SERVICE_PATH
    OPENAI = "/v1/embeddings"

    def body(self, text: str) -> str:
        """A request for one text."""
        return json.dumps({"inputs": text} if self is RoutePath.TASK else {"model": NAME, "input": text})


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        multiples: offered loads as multiples of the capacity; the recovery is measured after the last.
        seconds: duration of each load.
        settle_s: of each load are left out, because the queue takes time to fill.
        capacity_s: duration of the measurement of the capacity.
        recovery_s: duration of the light load after the overload.
        timeout_s: of the service.
        rounds: number of times that the service is started and measured.
        model: the encoder.
        path: that all requests are sent to.
    """

    multiples: tuple[float, ...] = (0.5, 1, 2, 5, 10)
    seconds: float = 20.0
    settle_s: float = 8.0
    capacity_s: float = 15.0
    recovery_s: float = 35.0
    timeout_s: float = 15.0
    rounds: int = 1
    model: EncoderName = "minilm"
    path: RoutePath = RoutePath.TASK


QUICK: dict[str, Any] = {"seconds": 10.0, "settle_s": 6.0, "capacity_s": 6.0, "recovery_s": 15.0}


@dataclass(frozen=True, slots=True)
class Level:
    """One offered load.

    Attributes:
        multiple: of the capacity.
        load: its statistics.
        service_cores: CPU time of the service over the duration.
        load_cores: CPU time of the load generator over the duration.
        connections: number of connections opened.
    """

    multiple: float
    load: LoadStatistics
    service_cores: float = 0.0
    load_cores: float = 0.0
    connections: int = 0


@dataclass(slots=True)
class Round:
    """One start of the service. The capacity is in requests/s."""

    capacity: float
    levels: list[Level] = field(default_factory=list)
    recovery: Recovery | None = None

    @property
    def peak(self) -> float:
        """The highest goodput of all levels."""
        return max((each.load.goodput for each in self.levels), default=0.0)


def run(plan: Plan, log: Log) -> list[Round]:
    """Measure all rounds of the plan."""
    limits = {"request_timeout_s": plan.timeout_s}
    with TemporaryDirectory(prefix="bench-") as folder, load_process() as loads:
        served = encoder(plan.model, Path(folder))
        rounds = []
        for number in range(plan.rounds):
            log(f"round {number + 1} of {plan.rounds}: starting")
            with service(Path(folder), served.model, served.pooling, limits=limits) as server:
                rounds.append(_Round(plan, server, loads, log).run())
        return rounds


class _Round:
    def __init__(self, plan: Plan, server: Server, loads: LoadProcess, log: Log) -> None:
        self._plan, self._server, self._loads, self._log = plan, server, loads, log
        self._bodies = [plan.path.body(text) for text in sample_texts(512)]

    def run(self) -> Round:
        self._closed(WARM_UP_TEXTS, 600.0)
        done = Round(self._closed(1_000_000, self._plan.capacity_s))
        self._log(f"capacity: {done.capacity:.0f} requests/s with {CLIENTS} clients")
        for multiple in self._plan.multiples:
            self._level(multiple, done)
            load = done.levels[-1].load
            rates = f"{load.goodput:.0f} of {load.offered:.0f} requests/s answered"
            self._log(f"{multiple:g} x capacity: {rates}, p99 {load.p99_s:.2f} s")
        return done

    def _closed(self, requests: int, seconds: float) -> float:
        """Answered requests per second of a closed load."""
        load = ClosedLoad(
            port=self._server.port,
            path=self._plan.path,
            bodies=self._bodies,
            requests=requests,
            concurrency=CLIENTS,
            seconds=seconds,
        )
        result = self._loads.run(load)
        return len(result.latencies) / result.wall_s

    def _level(self, multiple: float, done: Round) -> None:
        """Run one open load and add its measurements to `done`."""
        plan = self._plan
        phases = [Phase(min(multiple * done.capacity, MAX_RATE), plan.seconds)]
        is_last = multiple == plan.multiples[-1]
        if is_last:
            phases.append(Phase(RECOVERY_LOAD * done.capacity, plan.recovery_s))
        load = OpenLoad(
            port=self._server.port,
            path=plan.path,
            bodies=self._bodies,
            phases=phases,
            timeout_s=plan.timeout_s + GRACE_S,
        )
        before = self._server.tree.usage()
        result = self._loads.run(load)
        used_s = self._server.tree.usage().since(before)
        statistics = load_statistics(result.requests, plan.settle_s, plan.seconds)
        cores = used_s / result.wall_s, result.cpu_s / result.wall_s
        done.levels.append(Level(multiple, statistics, *cores, result.connections))
        if is_last:
            usual = next((each.load.p50_s for each in done.levels if each.multiple == RECOVERY_LOAD), 0.0)
            end = plan.seconds + plan.recovery_s
            done.recovery = recovery(result.requests, plan.seconds, end, done.peak, usual)
