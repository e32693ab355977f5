"""`batching`: how close a service of many small requests comes to knowing all texts beforehand. One torch thread.

The limits run between the service's loads, in the same minutes, so that a machine that slows down slows both.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.bench.batching.offline import PACK_BUDGETS, Offline, Pass, offline
from loadtests.bench.encoders import EncoderName, encoder
from loadtests.bench.measurement import KEPT_HEADERS, Measured, measure
from loadtests.bench.servers import start as contenders
from loadtests.load.closed_load import Load
from loadtests.load.load_process import LoadProcess, load_process
from loadtests.processes.server import Server
from loadtests.report.progress import Say
from loadtests.traffic.texts import request_bodies, sample_texts

CALLERS = 32
WARM_UP_TEXTS = 64

# What runs offline beside the service, by part.
_LIMITS: dict[str, dict[str, Callable[[Offline], Pass]]] = {
    "service": {"padded": Offline.padded}
    | {f"packed {budget}": methodcaller("packed", budget) for budget in PACK_BUDGETS}
    | {f"recorded and packed {PACK_BUDGETS[-1]}": methodcaller("packed_and_recorded", PACK_BUDGETS[-1])},
    "deberta": {"padded": Offline.padded, "cut and padded": Offline.padded_and_cut},
}

PARTS = ("service", "offline", "fastapi", "taught", "deberta")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        texts: how many.
        rounds: how often every contender is started and measured.
        loads: how often the service, while it is up, takes all texts, each time beside the limits.
        parts: of `PARTS`.
    """

    texts: int = 512
    rounds: int = 3
    loads: int = 4
    parts: tuple[str, ...] = PARTS


@dataclass(slots=True)
class Figures:
    """Everything measured, by contender and by limit."""

    texts: int
    loads: int  # of the service in a round, a limit before, between and after
    measured: dict[str, list[Measured]] = field(default_factory=lambda: defaultdict(list))
    limits: dict[str, list[Pass]] = field(default_factory=lambda: defaultdict(list))


def run(plan: Plan, say: Say) -> Figures:
    """Measure all parts of the plan."""
    figures = Figures(plan.texts, plan.loads)
    with TemporaryDirectory(prefix="bench-") as folder, load_process() as loads:
        bench = _Bench(plan, figures, loads, Path(folder), say)
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            bench.round()
    return figures


class _Bench:
    def __init__(self, plan: Plan, figures: Figures, loads: LoadProcess, folder: Path, say: Say) -> None:
        self._plan = plan
        self._figures = figures
        self._loads = loads
        self._folder = folder
        self._say = say
        self._bodies = request_bodies(sample_texts(plan.texts))

    def round(self) -> None:
        parts = self._plan.parts
        if "service" in parts or "offline" in parts:
            self._beside_limits("service", "minilm")
        if "fastapi" in parts:
            self._alone("fastapi", contenders.fastapi_model())
        if "taught" in parts:
            self._alone("taught", contenders.taught_model())
        if "deberta" in parts:
            self._beside_limits("deberta", "deberta")

    def _beside_limits(self, name: str, of: EncoderName) -> None:
        """The service with one of the encoders and its limits in turn, a limit first and last."""
        served = encoder(of, self._folder)
        with self._limits(served.model, name) as run_limits:
            run_limits()
            if name not in self._plan.parts:
                return
            self._say(f"{name}: starting")
            with contenders.service(self._folder, served.model, served.pooling) as server:
                self._warm_up(server, contenders.SERVICE_PATH)
                for _ in range(self._plan.loads):
                    self._load(name, server, contenders.SERVICE_PATH)
                    run_limits()

    @contextmanager
    def _limits(self, model: str, name: str) -> Iterator[Callable[[], None]]:
        if "offline" not in self._plan.parts:
            yield lambda: None
            return
        self._say(f"{name}: loading the model for its limits")
        with offline(model, self._plan.texts) as runner:
            yield lambda: self._run_limits(name, runner)

    def _run_limits(self, name: str, runner: Offline) -> None:
        for kind, run in _LIMITS[name].items():
            done = run(runner)
            self._figures.limits[f"{name} {kind}"].append(done)
            self._say(f"limit {name} {kind}: {self._plan.texts / done.wall_s:.1f} texts/s")

    def _alone(self, name: str, start: AbstractContextManager[Server]) -> None:
        self._say(f"{name}: starting")
        with start as server:
            self._warm_up(server, "/")
            self._load(name, server, "/")

    def _warm_up(self, server: Server, path: str) -> None:
        self._loads.run(Load(server.port, path, self._bodies, WARM_UP_TEXTS, CALLERS))

    def _load(self, name: str, server: Server, path: str) -> None:
        load = Load(server.port, path, self._bodies, self._plan.texts, CALLERS, headers=KEPT_HEADERS)
        measured = measure(server, self._loads, load)
        self._figures.measured[name].append(measured)
        self._say(f"{name}: {measured.requests_per_s:.1f} texts/s, p50 {measured.p50_ms:.0f} ms{_failed(measured)}")


def _failed(measured: Measured) -> str:
    return f", failed: {measured.failures}" if measured.failures else ""
