"""`generation`: text from a running batch, against batches that wait for their longest, and others. One torch thread.

Everybody writes with the same model. First all it can, with more requests under way than rows; then requests come by
themselves, at a share of what the limit (equal lengths, offline) could do. The limit runs before and after every one.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.bench.generation.backends import servers as generation_contenders
from loadtests.bench.generation.backends.engine import ROWS
from loadtests.bench.generation.backends.static_batches import Pass
from loadtests.bench.generation.child import GenerationChild, generation_child
from loadtests.bench.generation.models import FAMILIES, build
from loadtests.bench.generation.requests import arrivals, backlog, mean_lengths
from loadtests.bench.generation.streams import Latency, latency, tokens_per_cpu_s, tokens_per_s
from loadtests.load.percentiles import median
from loadtests.processes.server import ServerError
from loadtests.report.progress import Say

UNDER_WAY = {"serve": ROWS}  # in a saturated run; others have a line behind the rows
WAITING = 4 * ROWS
WHOLE = ("static", "alone")  # a batch is through when the next one begins: there is nothing to settle
BACKLOG = 5000  # requests that a saturated run may come to use
SHARE = 0.7  # of what the limit could do: the arrivals

IN_PROCESS = {"llama": ("engine", "static", "alone", "continuous"), "t5": ("engine", "static", "alone")}
HTTP = {"llama": ("service", "serve"), "t5": ()}
PARTS = tuple(f"{family}-{name}" for family in FAMILIES for name in (*IN_PROCESS[family], *HTTP[family]))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        saturated_s: seconds of a saturated run.
        settle_s: of these, before rows begin and end at random moments.
        open_s: seconds in which requests come.
        drain_s: seconds that they are waited for after that.
        longest: tokens of a prompt or an answer.
        rounds: how often everything is measured.
        parts: of `PARTS`.
    """

    saturated_s: float = 15.0
    settle_s: float = 5.0
    open_s: float = 20.0
    drain_s: float = 8.0
    longest: int = 256
    rounds: int = 1
    parts: tuple[str, ...] = PARTS


@dataclass(frozen=True, slots=True)
class Measured:
    """One contender in one round.

    Attributes:
        tokens_per_s: in the saturated run.
        tokens_per_cpu_s: by processor time of the process; NaN where the model is in another.
        latency: with arrivals.
        rate: arrivals per second.
        failures: of both runs.
        limits: the passes just before and after the saturated run.
    """

    tokens_per_s: float
    tokens_per_cpu_s: float
    latency: Latency
    rate: float
    failures: dict[str, int]
    limits: tuple[Pass, Pass]


@dataclass(slots=True)
class Figures:
    """Everything measured, by part, and why a part could not be."""

    measured: dict[str, list[Measured]] = field(default_factory=lambda: defaultdict(list))
    limits: dict[str, list[Pass]] = field(default_factory=lambda: defaultdict(list))  # by family
    missing: dict[str, str] = field(default_factory=dict)


def run(plan: Plan, say: Say) -> Figures:
    """Measure all parts of the plan."""
    figures = Figures()
    with TemporaryDirectory(prefix="bench-") as folder:
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            for family in FAMILIES:
                if any(part.startswith(f"{family}-") for part in plan.parts):
                    _Family(family, plan, figures, Path(folder), number, say).run()
    return figures


class _Family:
    """One round with one model."""

    def __init__(self, family: str, plan: Plan, figures: Figures, folder: Path, number: int, say: Say) -> None:
        self._family, self._plan, self._figures, self._folder = family, plan, figures, folder
        self._number, self._say = number, say
        self._model = folder / family
        if not self._model.exists():
            build(family, self._model)
        self._prompt, self._new = mean_lengths(plan.longest)

    def run(self) -> None:
        self._say(f"{self._family}: loading the model for its limit")
        with generation_child(str(self._model)) as child:
            first = [self._limit(child) for _ in range(2)]
            rate = SHARE * median([done.tokens / done.wall_s for done in first]) / self._new
            for name in IN_PROCESS[self._family]:
                if self._is_wanted(name):
                    child.open(name)
                    self._measure(name, child, child, rate)
            child.close()
            for name in HTTP[self._family]:
                if self._is_wanted(name):
                    self._over_http(name, child, rate)

    def _is_wanted(self, name: str) -> bool:
        return f"{self._family}-{name}" in self._plan.parts

    def _over_http(self, name: str, limits: GenerationChild, rate: float) -> None:
        self._say(f"{self._family}-{name}: starting")
        try:
            with self._server(name) as child:
                self._measure(name, child, limits, rate)
        except ServerError as error:
            reason = self._figures.missing[f"{self._family}-{name}"] = generation_contenders.why(error)
            self._say(f"{self._family}-{name}: did not start: {reason}")

    @contextmanager
    def _server(self, name: str) -> Iterator[GenerationChild]:
        start = (
            generation_contenders.service(self._folder, self._model)
            if name == "service"
            else generation_contenders.transformers_serve(self._model)
        )
        with start as child:
            yield child

    def _limit(self, child: GenerationChild) -> Pass:
        done = child.limit(self._prompt, self._new)
        self._figures.limits[self._family].append(done)
        self._say(f"limit {self._family}: {done.tokens / done.wall_s:.0f} tokens/s")
        return done

    def _measure(self, name: str, child: GenerationChild, limits: GenerationChild, rate: float) -> None:
        plan, part = self._plan, f"{self._family}-{name}"
        before = self._limit(limits)
        wanted = backlog(BACKLOG, plan.longest, seed=self._number)
        settle_s = 0.0 if name in WHOLE else plan.settle_s
        full = child.saturate(wanted, UNDER_WAY.get(name, WAITING), plan.saturated_s, settle_s)
        after = self._limit(limits)
        opened = child.arrive(arrivals(rate, plan.open_s, plan.longest, seed=self._number), plan.drain_s)
        failures = dict(Counter(full.failures) + Counter(opened.failures))
        by_cpu = tokens_per_cpu_s(full) if name in IN_PROCESS[self._family] else math.nan
        done = Measured(tokens_per_s(full), by_cpu, latency(opened), rate, failures, (before, after))
        self._figures.measured[part].append(done)
        self._say(_line(part, done))


def _line(part: str, done: Measured) -> str:
    failed = f", failed: {done.failures}" if done.failures else ""
    cut = f", {done.latency.unfinished} of {done.latency.requests} cut off" if done.latency.unfinished else ""
    first = f"first token p50 {done.latency.first_p50_ms:.0f} ms, p99 {done.latency.first_p99_ms:.0f} ms"
    return f"{part}: {done.tokens_per_s:.0f} tokens/s; at {done.rate:.1f} requests/s {first}{cut}{failed}"
