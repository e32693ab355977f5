"""`batching`: throughput of many small requests, compared with offline batches of the same texts. One compute thread.

The offline passes run between the loads, within the same minutes, because the speed of a shared machine changes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtests.bench.batching.offline import PACK_BUDGETS, Offline, OfflinePass, offline
from loadtests.bench.encoders import EncoderName, encoder, minilm_folder
from loadtests.bench.measurement import KEPT_HEADERS, Measurement, measure
from loadtests.bench.servers.start import SERVICE_PATH, fastapi_app, ray_serve_app, service
from loadtests.load.http_load import ClosedLoad
from loadtests.load.load_process import LoadProcess, load_process
from loadtests.processes.server import Server
from loadtests.report.progress import Log
from loadtests.traffic.texts import request_bodies, sample_texts

CLIENTS = 32
WARM_UP_TEXTS = 64

# The offline passes beside the service, by part.
_OFFLINE: dict[str, dict[str, Callable[[Offline], OfflinePass]]] = {
    "service": {
        "padded": Offline.padded,
        **{f"packed {budget}": partial(Offline.packed, budget=budget) for budget in PACK_BUDGETS},
        f"traced and packed {PACK_BUDGETS[-1]}": partial(Offline.packed_and_traced, budget=PACK_BUDGETS[-1]),
    },
    "deberta": {"padded": Offline.padded, "sliced and padded": Offline.padded_and_sliced},
}

PARTS = ("service", "offline", "fastapi", "taught", "deberta")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        texts: number of texts.
        rounds: number of times that each server is started and measured.
        loads: number of loads on the service per round, with offline passes before, between and after them.
        parts: of `PARTS`.
    """

    texts: int = 512
    rounds: int = 3
    loads: int = 4
    parts: tuple[str, ...] = PARTS


QUICK: dict[str, Any] = {"texts": 256, "rounds": 1}


@dataclass(slots=True)
class Measurements:
    """By server, and by offline pass."""

    texts: int
    loads: int
    servers: dict[str, list[Measurement]] = field(default_factory=lambda: defaultdict(list))
    offline: dict[str, list[OfflinePass]] = field(default_factory=lambda: defaultdict(list))


def run(plan: Plan, log: Log) -> Measurements:
    """Measure all parts of the plan."""
    done = Measurements(plan.texts, plan.loads)
    with TemporaryDirectory(prefix="bench-") as folder, load_process() as loads:
        bench = _Bench(plan, done, loads, Path(folder), log)
        for number in range(plan.rounds):
            log(f"round {number + 1} of {plan.rounds}")
            bench.round()
    return done


class _Bench:
    def __init__(self, plan: Plan, done: Measurements, loads: LoadProcess, folder: Path, log: Log) -> None:
        self._plan = plan
        self._done = done
        self._loads = loads
        self._folder = folder
        self._log = log
        self._bodies = request_bodies(sample_texts(plan.texts))

    def round(self) -> None:
        parts = self._plan.parts
        if "service" in parts or "offline" in parts:
            self._service_and_offline("service", "minilm")
        if "fastapi" in parts:
            self._alone("fastapi", fastapi_app(minilm_folder()))
        if "taught" in parts:
            self._alone("taught", ray_serve_app(minilm_folder()))
        if "deberta" in parts:
            self._service_and_offline("deberta", "deberta")

    def _service_and_offline(self, name: str, model: EncoderName) -> None:
        """Loads on the service with one of the encoders, with offline passes before, between and after them."""
        served = encoder(model, self._folder)
        with self._offline(served.model, name) as run_offline:
            run_offline()
            if name not in self._plan.parts:
                return
            self._log(f"{name}: starting")
            with service(self._folder, served.model, served.pooling) as server:
                self._warm_up(server, SERVICE_PATH)
                for _ in range(self._plan.loads):
                    self._load(name, server, SERVICE_PATH)
                    run_offline()

    @contextmanager
    def _offline(self, model: str, name: str) -> Iterator[Callable[[], None]]:
        if "offline" not in self._plan.parts:
            yield lambda: None
            return
        self._log(f"{name}: loading the model for the offline passes")
        with offline(model, self._plan.texts) as runner:
            yield lambda: self._run_offline(name, runner)

    def _run_offline(self, name: str, runner: Offline) -> None:
        for kind, run in _OFFLINE[name].items():
            done = run(runner)
            self._done.offline[f"{name} {kind}"].append(done)
            self._log(f"{name} offline, {kind}: {self._plan.texts / done.wall_s:.1f} texts/s")

    def _alone(self, name: str, start: AbstractContextManager[Server]) -> None:
        self._log(f"{name}: starting")
        with start as server:
            self._warm_up(server, "/")
            self._load(name, server, "/")

    def _warm_up(self, server: Server, path: str) -> None:
        self._loads.run(self._closed_load(server, path, WARM_UP_TEXTS))

    def _load(self, name: str, server: Server, path: str) -> None:
        done = measure(server, self._loads, self._closed_load(server, path, self._plan.texts))
        self._done.servers[name].append(done)
        failed = f", failed: {done.failures}" if done.failures else ""
        self._log(f"{name}: {done.requests_per_s:.1f} texts/s, p50 {done.p50_ms:.0f} ms{failed}")

    def _closed_load(self, server: Server, path: str, requests: int) -> ClosedLoad:
        return ClosedLoad(
            port=server.port,
            path=path,
            bodies=self._bodies,
            requests=requests,
            concurrency=CLIENTS,
            headers=KEPT_HEADERS,
        )
