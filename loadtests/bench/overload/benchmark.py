"""`overload`: an encoder under an open load from half of what it can answer to ten times of it, and what comes after.

A refusal costs the machine about the same whatever the model, and of a fast model there are more of them.

The load is a process of its own on the same machine. What it uses is told, as it takes that from the service.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.bench.encoders import EncoderName, encoder
from loadtests.bench.overload.recovery import Aftermath, aftermath
from loadtests.bench.servers import start as contenders
from loadtests.load.closed_load import Load
from loadtests.load.load_process import LoadProcess, load_process
from loadtests.load.open_load import OpenLoad, Phase
from loadtests.load.statistics import Level, level
from loadtests.processes.server import Server
from loadtests.report.progress import Say
from loadtests.traffic.texts import request_bodies, sample_texts

CALLERS = 64  # who measure the capacity
WARM_UP_TEXTS = 128
CALM = 0.5  # the load afterwards, in capacities
PATIENCE_S = 1.0  # of a caller, beyond the service's own limit
MOST_RATE = 3000.0  # requests/s that one process on a busy core can surely send


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        multiples: of the capacity that are offered, one after the other; the last has an aftermath.
        seconds: for each.
        settle_s: of them do not count: a line takes time to fill.
        capacity_s: for the measurement of the capacity.
        after_s: for the aftermath.
        timeout_s: after which the service gives up; callers do a second later.
        rounds: how often the service is started and all of it measured.
        model: which encoder.
    """

    multiples: tuple[float, ...] = (0.5, 1, 2, 5, 10)
    seconds: float = 20.0
    settle_s: float = 8.0
    capacity_s: float = 15.0
    after_s: float = 35.0
    timeout_s: float = 15.0
    rounds: int = 1
    model: EncoderName = "minilm"


@dataclass(slots=True)
class Round:
    """One start of the service."""

    capacity: float  # requests/s
    levels: list[Level] = field(default_factory=list)
    after: Aftermath | None = None

    @property
    def peak(self) -> float:
        """The highest goodput of all levels."""
        return max((each.goodput for each in self.levels), default=0.0)


def run(plan: Plan, say: Say) -> list[Round]:
    """Measure all rounds of the plan."""
    limits = {"request_timeout_s": plan.timeout_s}
    with TemporaryDirectory(prefix="bench-") as folder, load_process() as loads:
        served = encoder(plan.model, Path(folder))
        rounds = []
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}: starting")
            with contenders.service(Path(folder), served.model, served.pooling, limits=limits) as server:
                rounds.append(_round(plan, server, loads, say))
        return rounds


def _round(plan: Plan, server: Server, loads: LoadProcess, say: Say) -> Round:
    bodies = request_bodies(sample_texts(512))
    path = contenders.SERVICE_PATH
    loads.run(Load(server.port, path, bodies, WARM_UP_TEXTS, CALLERS))
    closed = loads.run(Load(server.port, path, bodies, 1_000_000, CALLERS, seconds=plan.capacity_s))
    done = Round(len(closed.latencies) / closed.wall_s)
    say(f"capacity: {done.capacity:.0f} requests/s with {CALLERS} callers")
    for multiple in plan.multiples:
        is_last = multiple == plan.multiples[-1]
        _level(plan, multiple, is_last, server, loads, bodies, done)
        now = done.levels[-1]
        say(f"{multiple:g} x: {now.goodput:.0f} of {now.offered:.0f} requests/s answered, p99 {now.p99_s:.2f} s")
    return done


def _level(
    plan: Plan,
    multiple: float,
    is_last: bool,
    server: Server,
    loads: LoadProcess,
    bodies: Sequence[str],
    done: Round,
) -> None:
    """One load, and its figures into `done`."""
    phases = [Phase(min(multiple * done.capacity, MOST_RATE), plan.seconds)]
    if is_last:
        phases.append(Phase(CALM * done.capacity, plan.after_s))
    before = server.tree.usage()
    result = loads.run_open(
        OpenLoad(server.port, contenders.SERVICE_PATH, list(bodies), phases, plan.timeout_s + PATIENCE_S)
    )
    used = server.tree.usage().since(before)
    seconds = max(asked.ended for asked in result.asked)
    figures = level(result.asked, plan.settle_s, plan.seconds)
    figures.multiple = multiple
    figures.service_cores, figures.load_cores = used / seconds, result.cpu_s / seconds
    figures.connections = result.connections
    done.levels.append(figures)
    if is_last:
        calm = next((each.p50_s for each in done.levels if each.multiple == CALM), 0.0)
        done.after = aftermath(result.asked, plan.seconds, plan.seconds + plan.after_s, done.peak, calm)
