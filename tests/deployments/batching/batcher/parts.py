"""A forward that is a plain function, and who asks for it."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from deployments.batching.batcher import Batcher
from deployments.batching.job import Job
from deployments.contract.task import Row
from deployments.telemetry.measurements import BatchReport
from deployments.telemetry.observer import Observer
from tests.waiting import PATIENCE_S


class Reports(Observer):
    """Keeps the reports."""

    def __init__(self, reports: list[BatchReport]) -> None:
        self.batch = reports.append


class Model:
    """A forward that writes down its batches, answers each row's value, and can be held up in the middle."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.params: list[Any] = []
        self.entered = threading.Event()
        self.released = threading.Event()
        self.released.set()
        self.fail: Callable[[list[Any]], None] = lambda values: None

    def __call__(self, rows: Sequence[Row], params: Any) -> list[Any]:
        values = [row.inputs["value"] for row in rows]
        self.batches.append(values)
        self.params.append(params)
        self.entered.set()
        assert self.released.wait(PATIENCE_S)
        self.fail(values)
        return [value * 10 for value in values]

    def hold(self) -> None:
        self.released.clear()
        self.entered.clear()


class Caller:
    """Makes jobs and counts how often each was answered."""

    def __init__(self) -> None:
        self.answered: Counter[Job] = Counter()
        self._changed = threading.Condition()

    def job(self, *values: int, length: int = 1, params: Any = None, deadline: float = float("inf")) -> Job:
        rows = [Row({"value": value}, length) for value in values]
        return Job(rows, [length] * len(rows), params, done=self._done, deadline=deadline)

    def _done(self, job: Job) -> None:
        with self._changed:
            self.answered[job] += 1
            self._changed.notify_all()

    def wait(self, *jobs: Job, timeout: float = PATIENCE_S) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: all(self.answered[job] for job in jobs), timeout), "no answer"


def busy(model: Model, batcher: Batcher, caller: Caller) -> Job:
    """Occupy the model with a first job, so that what follows waits in line."""
    model.hold()
    first = caller.job(0)
    batcher.submit(first)
    assert model.entered.wait(PATIENCE_S)
    return first
