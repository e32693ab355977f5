"""Watchdog: says when a replica is broken: a thread has died, a forward never ends, or an example can't be answered."""

import logging
import time
from collections.abc import Callable
from typing import Any

from deployments.batching.job import Job
from deployments.batching.scheduler import Scheduler
from deployments.config import Health
from deployments.contract.task import Task
from deployments.errors import DeadlineExceeded, Unavailable
from deployments.replica.worker import Worker
from deployments.telemetry.observer import Observer

logger = logging.getLogger(__name__)

CANARY_WORDS = 1


class Watchdog:
    """Watches one replica's threads.

    A replica that has answered nothing for a while runs a canary: an example, through the text thread and the model's.
    Under load answers are the canary, as long as there are any.

    Args:
        name: of the model.
        task: loaded.
        scheduler: of its rows.
        text: the threads that read and write.
        health: when it counts as broken.
        observer: told of checks and canaries.
    """

    def __init__(
        self, name: str, task: Task[Any, Any], scheduler: Scheduler, worker: Worker, health: Health, observer: Observer
    ) -> None:
        self._name, self._task, self._scheduler, self._worker = name, task, scheduler, worker
        self._health = health
        self._observer = observer
        self._answered_at = time.monotonic()
        self._canary_since: float | None = None
        self._failure: BaseException | None = None  # of the latest canary

    def answered(self) -> None:
        """A request has its answer."""
        self._answered_at = time.monotonic()
        self._failure = None

    def check(self) -> None:
        """Raise when the replica should be replaced; has a canary run where one is due.

        Raises:
            RuntimeError: why.
        """
        why = self._broken()
        self._observer.healthy(why is None)
        if why is not None:
            logger.error("%s is not healthy: %s", self._name, why)
            raise RuntimeError(f"{self._name} {why}")

    def _broken(self) -> str | None:
        now = time.monotonic()
        longest = self._health.max_forward_s
        if not self._scheduler.is_alive or not self._worker.is_alive:
            return "has lost a thread"
        busy = self._scheduler.busy_since
        if busy is not None and now - busy > longest:
            return f"has been in one forward for over {longest:g} s"
        if self._canary_since is not None:
            return f"has not answered its own example for over {longest:g} s" if self._is_overdue(now) else None
        failure = self._failure
        if self._health.canary_s and (failure or now - self._answered_at > self._health.canary_s):
            self._canary_since = now
            self._worker.submit(self._send_canary)
        return None if failure is None else f"cannot answer its own example: {failure}"

    def _is_overdue(self, now: float) -> bool:
        return self._canary_since is not None and now - self._canary_since > self._health.max_forward_s

    def _send_canary(self) -> None:
        """Text thread."""
        try:
            self._scheduler.submit(example(self._task, CANARY_WORDS, lambda job: self._canary_over(job.error)))
        except Exception as error:
            self._canary_over(error)

    def _canary_over(self, error: BaseException | None) -> None:
        """Any thread."""
        if isinstance(error, DeadlineExceeded | Unavailable):  # the replica ends
            error = None
        if error is None:
            self._answered_at = time.monotonic()
        self._failure = error
        self._canary_since = None
        self._observer.canary(error is None)


def example(task: Task[Any, Any], words: int, done: Callable[[Job], None]) -> Job:
    """An example of about so many words, ready for the line."""
    prepared = task.preprocess(task.sized_example(words))
    return Job(prepared.rows, [task.cost(row) for row in prepared.rows], prepared.params, done=done)
