"""When a replica says that it is broken, with a line that does what the test wants."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.batching.job import Job
from deployments.config import Health
from deployments.contract.task import Prepared, Row
from deployments.errors import ForwardFailed, Unavailable
from deployments.replica.watchdog import Watchdog
from deployments.telemetry.model_meter import ModelMeter

CANARY_S = 60.0


class Line:
    """Keeps what is submitted."""

    def __init__(self) -> None:
        self.is_alive = True
        self.busy_since: float | None = None
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def end(self, error: BaseException | None = None) -> None:
        job = self.jobs.pop()
        job.error = error
        job.done(job)


class Text:
    """Runs at once."""

    is_alive = True

    def submit(self, call: Any) -> None:
        call()


class Task:
    def sized_example(self, words: int) -> str:
        return "word " * words

    def preprocess(self, request: str) -> Prepared:
        return Prepared([Row({}, len(request))])

    def cost(self, row: Row) -> int:
        return row.length


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("deployments.replica.watchdog.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


class Watched:
    def __init__(self, **health: float) -> None:
        self.scheduler, self.text, self.meter = Line(), Text(), ModelMeter("small", "fill-mask")
        settings = Health(**({"max_forward_s": 10, "canary_s": CANARY_S} | health))
        task: Any = Task()
        scheduler: Any = self.scheduler
        text: Any = self.text
        self.watchdog = Watchdog("small", task, scheduler, text, settings, self.meter)

    def canaries(self) -> dict[str, float]:
        return {
            series.labels[-1]: series.value
            for series in self.meter.meter.read()
            if series.metric.name == "automodel_canaries_total"
        }

    def is_ready(self) -> float:
        (ready,) = [s.value for s in self.meter.meter.read() if s.metric.name == "automodel_model_ready"]
        return ready


def test_a_replica_at_work_is_left_alone(clock: SimpleNamespace) -> None:
    watched = Watched()
    for _ in range(10):
        clock.now += CANARY_S - 1
        watched.watchdog.answered()
        watched.watchdog.check()
    assert not watched.scheduler.jobs
    assert watched.is_ready() == 1


@pytest.mark.parametrize("part", ["scheduler", "text"])
def test_a_thread_that_died(clock: SimpleNamespace, part: str) -> None:
    watched = Watched()
    getattr(watched, part).is_alive = False
    with pytest.raises(RuntimeError, match="small has lost a thread"):
        watched.watchdog.check()
    assert watched.is_ready() == 0


def test_a_forward_that_never_ends(clock: SimpleNamespace) -> None:
    watched = Watched()
    watched.scheduler.busy_since = clock.now
    clock.now += 9
    watched.watchdog.check()
    clock.now += 2
    with pytest.raises(RuntimeError, match="in one forward for over 10 s"):
        watched.watchdog.check()
    watched.scheduler.busy_since = clock.now
    watched.watchdog.check()


def test_an_idle_replica_runs_an_example_now_and_then(clock: SimpleNamespace) -> None:
    watched = Watched()
    clock.now += CANARY_S + 1
    watched.watchdog.check()
    (job,) = watched.scheduler.jobs
    assert len(job.rows) == 1
    watched.watchdog.check()
    assert len(watched.scheduler.jobs) == 1, "one at a time"
    watched.scheduler.end()
    watched.watchdog.check()
    assert not watched.scheduler.jobs
    clock.now += CANARY_S + 1
    watched.watchdog.check()
    assert len(watched.scheduler.jobs) == 1
    assert watched.canaries() == {"ok": 1, "failed": 0}


def test_a_model_that_fails_on_its_example_until_it_does_not(clock: SimpleNamespace) -> None:
    watched = Watched()
    clock.now += CANARY_S + 1
    watched.watchdog.check()
    for _ in range(3):  # as many checks in a row as Ray wants to see
        watched.scheduler.end(ForwardFailed("the model failed"))
        with pytest.raises(RuntimeError, match="cannot answer its own example: the model failed"):
            watched.watchdog.check()
        assert len(watched.scheduler.jobs) == 1, "it tries again at once"
    watched.scheduler.end()
    watched.watchdog.check()
    assert watched.canaries() == {"ok": 1, "failed": 3}


def test_an_answer_takes_a_failure_back(clock: SimpleNamespace) -> None:
    watched = Watched()
    clock.now += CANARY_S + 1
    watched.watchdog.check()
    watched.scheduler.end(ForwardFailed("the model failed"))
    watched.watchdog.answered()
    watched.watchdog.check()


def test_an_example_that_never_comes_back(clock: SimpleNamespace) -> None:
    watched = Watched()
    clock.now += CANARY_S + 1
    watched.watchdog.check()
    clock.now += 11
    with pytest.raises(RuntimeError, match="has not answered its own example for over 10 s"):
        watched.watchdog.check()


def test_a_replica_that_ends_is_not_broken(clock: SimpleNamespace) -> None:
    watched = Watched()
    clock.now += CANARY_S + 1
    watched.watchdog.check()
    watched.scheduler.end(Unavailable("the model is shutting down"))
    watched.watchdog.check()


def test_no_canary_where_none_is_wanted(clock: SimpleNamespace) -> None:
    watched = Watched(canary_s=0)
    clock.now += 10_000
    watched.watchdog.check()
    assert not watched.scheduler.jobs


def test_an_example_that_cannot_be_read(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Task, request: str) -> Prepared:
        raise ValueError("no tokenizer")

    monkeypatch.setattr(Task, "preprocess", fails)
    watched = Watched()
    clock.now += CANARY_S + 1
    watched.watchdog.check()
    with pytest.raises(RuntimeError, match="no tokenizer"):
        watched.watchdog.check()


def test_checks_and_answers_may_come_from_several_threads(clock: SimpleNamespace) -> None:
    watched = Watched()
    threads = [threading.Thread(target=lambda: [watched.watchdog.answered() for _ in range(500)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        watched.watchdog.check()
    for thread in threads:
        thread.join()
