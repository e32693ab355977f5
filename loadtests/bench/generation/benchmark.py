"""`generation`: text generation with continuous batching, compared with static batches and other servers.

All backends run the same model on one compute thread. First the backend is saturated, with more requests in flight than
rows; then requests arrive at a share of the offline throughput. The offline pass, a static batch of equal lengths, runs
before and after each saturated load.
"""

import math
from collections import Counter, defaultdict
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtests.bench.generation.backends.engine import MAX_ROWS
from loadtests.bench.generation.backends.servers import last_line, this_service, transformers_serve
from loadtests.bench.generation.backends.static_batches import OfflinePass
from loadtests.bench.generation.child import GenerationChild, generation_child
from loadtests.bench.generation.models import FAMILIES, build
from loadtests.bench.generation.requests import arrivals, backlog, mean_lengths
from loadtests.bench.generation.streams import StreamingLatency, streaming_latency, tokens_per_cpu_s, tokens_per_s
from loadtests.load.percentiles import median
from loadtests.processes.server import ServerError
from loadtests.report.progress import Log

IN_FLIGHT = 4 * MAX_ROWS  # in a saturated load
IN_FLIGHT_OF = {"serve": MAX_ROWS}
NOT_SETTLING = ("static", "alone")  # one batch after another: there is no warm-up
BACKLOG = 5000  # requests for a saturated load
ARRIVAL_SHARE = 0.7  # of the offline throughput

IN_PROCESS = {"llama": ("paged", "engine", "static", "alone", "continuous"), "t5": ("engine", "static", "alone")}
HTTP = {"llama": ("service", "serve"), "t5": ()}
PARTS = tuple(f"{family}-{name}" for family in FAMILIES for name in (*IN_PROCESS[family], *HTTP[family]))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        saturated_s: duration of a saturated load.
        settle_s: of these are warm-up, until rows begin and end at random times.
        open_s: duration of the arrivals.
        drain_s: maximum time to wait after the last arrival.
        max_tokens: of a prompt or a completion.
        rounds: number of times that everything is measured.
        parts: of `PARTS`.
    """

    saturated_s: float = 15.0
    settle_s: float = 5.0
    open_s: float = 20.0
    drain_s: float = 8.0
    max_tokens: int = 256
    rounds: int = 1
    parts: tuple[str, ...] = PARTS


QUICK: dict[str, Any] = {"saturated_s": 5.0, "settle_s": 2.0, "open_s": 6.0, "drain_s": 2.0, "max_tokens": 64}


@dataclass(frozen=True, slots=True)
class GenerationMeasurement:
    """One backend in one round.

    Attributes:
        tokens_per_s: of the saturated load.
        tokens_per_cpu_s: of the saturated load; NaN if the model is in another process.
        latency: of the open load.
        rate: arrivals per second.
        failures: of both loads, by kind.
        offline: the offline passes just before and after the saturated load.
    """

    tokens_per_s: float
    tokens_per_cpu_s: float
    latency: StreamingLatency
    rate: float
    failures: dict[str, int]
    offline: tuple[OfflinePass, OfflinePass]


@dataclass(slots=True)
class Measurements:
    """By part, the offline passes by model family, and the reason why a part is missing."""

    backends: dict[str, list[GenerationMeasurement]] = field(default_factory=lambda: defaultdict(list))
    offline: dict[str, list[OfflinePass]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[str, str] = field(default_factory=dict)


def run(plan: Plan, log: Log) -> Measurements:
    """Measure all parts of the plan."""
    done = Measurements()
    with TemporaryDirectory(prefix="bench-") as folder:
        for number in range(plan.rounds):
            log(f"round {number + 1} of {plan.rounds}")
            for family in FAMILIES:
                if any(part.startswith(f"{family}-") for part in plan.parts):
                    _Family(family, plan, done, Path(folder), number, log).run()
    return done


class _Family:
    """One round with one model."""

    def __init__(self, family: str, plan: Plan, done: Measurements, folder: Path, number: int, log: Log) -> None:
        self._family, self._plan, self._done, self._folder = family, plan, done, folder
        self._number, self._log = number, log
        self._model = folder / family
        if not self._model.exists():
            build(family, self._model)
        self._prompt, self._new = mean_lengths(plan.max_tokens)

    def run(self) -> None:
        self._log(f"{self._family}: loading the model for the offline passes")
        with generation_child(str(self._model)) as child:
            first = [self._offline(child) for _ in range(2)]
            rate = ARRIVAL_SHARE * median([each.tokens / each.wall_s for each in first]) / self._new
            for name in IN_PROCESS[self._family]:
                if self._is_planned(name):
                    child.open(name)
                    self._measure(name, child, child, rate)
            child.close()
            for name in HTTP[self._family]:
                if self._is_planned(name):
                    self._over_http(name, child, rate)

    def _is_planned(self, name: str) -> bool:
        return f"{self._family}-{name}" in self._plan.parts

    def _over_http(self, name: str, offline: GenerationChild, rate: float) -> None:
        self._log(f"{self._family}-{name}: starting")
        try:
            with self._server(name) as child:
                self._measure(name, child, offline, rate)
        except ServerError as error:
            reason = self._done.missing[f"{self._family}-{name}"] = last_line(error)
            self._log(f"{self._family}-{name}: did not start: {reason}")

    def _server(self, name: str) -> AbstractContextManager[GenerationChild]:
        return this_service(self._folder, self._model) if name == "service" else transformers_serve(self._model)

    def _offline(self, child: GenerationChild) -> OfflinePass:
        done = child.offline(self._prompt, self._new)
        self._done.offline[self._family].append(done)
        self._log(f"{self._family} offline: {done.tokens / done.wall_s:.0f} tokens/s")
        return done

    def _measure(self, name: str, child: GenerationChild, offline: GenerationChild, rate: float) -> None:
        plan, part = self._plan, f"{self._family}-{name}"
        before = self._offline(offline)
        requests = backlog(BACKLOG, plan.max_tokens, seed=self._number)
        settle_s = 0.0 if name in NOT_SETTLING else plan.settle_s
        saturated = child.run_saturated(requests, IN_FLIGHT_OF.get(name, IN_FLIGHT), plan.saturated_s, settle_s)
        after = self._offline(offline)
        opened = child.run_open(arrivals(rate, plan.open_s, plan.max_tokens, seed=self._number), plan.drain_s)
        done = GenerationMeasurement(
            tokens_per_s(saturated),
            tokens_per_cpu_s(saturated) if name in IN_PROCESS[self._family] else math.nan,
            streaming_latency(opened),
            rate,
            dict(Counter(saturated.failures) + Counter(opened.failures)),
            (before, after),
        )
        self._done.backends[part].append(done)
        self._log(_summary(part, done))


def _summary(part: str, done: GenerationMeasurement) -> str:
    latency = done.latency
    failed = f", failed: {done.failures}" if done.failures else ""
    cut = f", {latency.unfinished} of {latency.requests} cut off" if latency.unfinished else ""
    first = f"time to first token p50 {latency.first_p50_ms:.0f} ms, p99 {latency.first_p99_ms:.0f} ms"
    return f"{part}: {done.tokens_per_s:.0f} tokens/s; at {done.rate:.1f} requests/s: {first}{cut}{failed}"
