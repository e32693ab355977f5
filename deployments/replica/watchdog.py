"""Watchdog: detects a broken replica: a thread that died, a forward that does not end, or an example that fails."""

import logging
import time
from collections.abc import Callable
from typing import Any

from deployments.batching.job import Job
from deployments.batching.scheduler import Scheduler
from deployments.config import Health
from deployments.contract.task import Task
from deployments.errors import DeadlineExceeded, Unavailable
from deployments.replica.call import job_of
from deployments.replica.worker import Worker
from deployments.telemetry.observer import Observer

logger = logging.getLogger(__name__)

CANARY_WORDS = 1


class Watchdog:
    """Watches one replica's threads.

    A replica that has answered nothing for a while runs a canary: an example, through the text thread and the model
    thread. Under load, answers take its place.

    Args:
        name: of the model.
        task: loaded.
        scheduler: of its rows.
        worker: the text threads.
        health: when the replica counts as broken.
        observer: notified of checks and canaries.
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
        """Record that a request was answered."""
        self._answered_at = time.monotonic()
        self._failure = None

    def check(self) -> None:
        """Raise if the replica should be replaced; submit a canary if one is due.

        Raises:
            RuntimeError: why.
        """
        reason = self._failure_reason()
        self._observer.healthy(reason is None)
        if reason is not None:
            logger.error("%s is not healthy: it %s", self._name, reason)
            raise RuntimeError(f"{self._name} {reason}")

    def _failure_reason(self) -> str | None:
        now = time.monotonic()
        max_forward_s = self._health.max_forward_s
        if not self._scheduler.is_alive or not self._worker.is_alive:
            return "has lost a thread"
        busy = self._scheduler.busy_since
        if busy is not None and now - busy > max_forward_s:
            return f"has been in one forward for over {max_forward_s:g} s"
        if self._canary_since is not None:
            is_overdue = now - self._canary_since > max_forward_s
            return f"has not answered its own example for over {max_forward_s:g} s" if is_overdue else None
        failure = self._failure
        if self._health.canary_s and (failure or now - self._answered_at > self._health.canary_s):
            self._canary_since = now
            self._worker.submit(self._send_canary)
        return None if failure is None else f"cannot answer its own example: {failure}"

    def _send_canary(self) -> None:
        """Text thread."""
        try:
            self._scheduler.submit(example(self._task, CANARY_WORDS, lambda job: self._canary_over(job.error)))
        except Exception as error:
            self._canary_over(error)

    def _canary_over(self, error: BaseException | None) -> None:
        """Any thread."""
        if isinstance(error, DeadlineExceeded | Unavailable):  # the replica is shutting down
            error = None
        if error is None:
            self._answered_at = time.monotonic()
        self._failure = error
        self._canary_since = None
        self._observer.canary(error is None)


def example(task: Task[Any, Any], words: int, done: Callable[[Job], None]) -> Job:
    """An example of about this many words, ready to be queued."""
    return job_of(task, task.preprocess(task.sized_example(words)), done)
