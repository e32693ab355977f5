"""Replica: one loaded model with its two threads. Ready only after it has answered its own example. No Ray, no HTTP."""

import asyncio
import logging
import math
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeVar

from deployments import checkpoint
from deployments.call import Answer, Call, Render
from deployments.config import ModelConfig
from deployments.errors import LoadError, Overloaded, Unavailable
from deployments.job import Job
from deployments.line import Line
from deployments.media.limits import MediaLimits
from deployments.stream_call import StreamCall
from deployments.task import Task
from deployments.worker import Worker

logger = logging.getLogger(__name__)

CallT = TypeVar("CallT", bound=Call)
Stage = Callable[[str], None]

WARM_UP_WORDS = (1, 16, 128)

# The model thread asks for the interpreter after every operation, and what holds it (parsing, tokenizing, JSON) would
# keep it up to 5 ms by default. In pairs with the offline limit on two cores: 0.85 of it by default, 0.88 so.
SWITCH_INTERVAL_S = 1e-4
STUCK_AFTER_S = 600.0


class Replica:
    """Loads a model and answers requests with it.

    Args:
        config: the model.
        task: its task.
        max_waiting: requests under way in this replica beyond which it answers 429.
        media_limits: what pictures and recordings may decode to.
        stage: told what the replica is doing while it loads: "loading", "checking", "warming", "ready".
    """

    def __init__(
        self,
        config: ModelConfig,
        task: type[Task[Any, Any]],
        *,
        max_waiting: int = 512,
        media_limits: MediaLimits | None = None,
        stage: Stage = lambda stage: None,
    ) -> None:
        self.config = config
        self.max_waiting = max_waiting
        self.media_limits = media_limits or MediaLimits()
        self.task_class = task
        self.task: Task[Any, Any] | None = None
        self.description: Mapping[str, Any] = {}
        self.in_flight = 0
        self._stage = stage
        self._text = Worker(f"text-{config.name}", threads=task.preprocess_threads)
        self._line: Line | None = None
        self._drain_rate = 0.0  # answers per second, smoothed
        self._answered_at = 0.0

    def load(self) -> None:
        """Load, choose the layout, warm up. Blocks; call it off the event loop.

        Raises:
            LoadError: the model cannot be served as configured.
        """
        import torch

        sys.setswitchinterval(SWITCH_INTERVAL_S)  # of the whole process, which a replica has to itself
        if self.config.resources.cpu_threads:
            torch.set_num_threads(self.config.resources.cpu_threads)
        self._stage("loading")
        self.task = self.task_class(checkpoint.load(self.config, self.task_class))
        self.task.limits = self.media_limits
        self._stage("checking")
        opened = self.task.open_line(f"model-{self.config.name}")
        self._line, self.description = opened.line, opened.description
        self._line.start()
        self._text.start()
        self._stage("warming")
        self._warm_up()
        self._stage("ready")

    def admit(self) -> None:
        """Refuse a request before anything is spent on it.

        Raises:
            Overloaded: as many requests as `max_waiting` are under way.
            Unavailable: not loaded yet.
        """
        if self._line is None:
            raise Unavailable(f"{self.config.name} is loading", retry_after=5)
        if self.in_flight >= self.max_waiting:
            wait = math.ceil(self.in_flight / self._drain_rate) if self._drain_rate else 1
            raise Overloaded(
                f"{self.config.name} has {self.in_flight} requests waiting; try again later",
                retry_after=min(max(wait, 1), 60),
            )

    async def predict(self, request: Any, render: Render, timeout_s: float) -> Answer:
        """Answer one request; `render` turns the answer's value into bytes, on the text thread.

        Raises:
            ServiceError: what was wrong. A cancelled call drops its rows from the line.
        """
        call, timer = self._begin(Call, request, render, timeout_s)
        assert call.future is not None
        try:
            answer = await call.future
            self._count_answer()
            return answer
        except asyncio.CancelledError:
            call.fail(Unavailable("the client has gone"))
            raise
        finally:
            self._end(call, timer)

    async def stream(self, request: Any, timeout_s: float) -> AsyncGenerator[dict[str, Any], None]:
        """The events of one request, as the model writes; close it to end the request.

        Raises:
            ServiceError: what was wrong, before the first event or between two.
        """
        call, timer = self._begin(StreamCall, request, lambda value: b"", timeout_s)
        assert call.future is not None
        try:
            while (event := await call.events.get()) is not None:
                yield event
            await call.future
            self._count_answer()
        except (asyncio.CancelledError, GeneratorExit):
            call.fail(Unavailable("the client has gone"))
            raise
        finally:
            self._end(call, timer)

    def _begin(
        self, kind: type[CallT], request: Any, render: Render, timeout_s: float
    ) -> tuple[CallT, asyncio.TimerHandle]:
        """Put a request on its way."""
        self.admit()
        assert self.task is not None
        assert self._line is not None
        call = kind(request, self.task, self._line, self._text, render, time.monotonic() + timeout_s)
        timer = asyncio.get_running_loop().call_later(timeout_s, call.expire)
        self.in_flight += 1
        self._text.submit(call.prepare)
        return call, timer

    def _end(self, call: Call, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        call.release()
        self.in_flight -= 1

    def check_health(self) -> None:
        """Raise when this replica should be replaced: a thread has died or one forward never ends.

        Raises:
            RuntimeError: why.
        """
        if self._line is None:
            return
        if not self._line.is_alive or not self._text.is_alive:
            raise RuntimeError(f"a thread of {self.config.name} has died")
        busy = self._line.busy_since
        if busy is not None and time.monotonic() - busy > STUCK_AFTER_S:
            raise RuntimeError(f"{self.config.name} has been in one forward for over {STUCK_AFTER_S:.0f} s")

    def stop(self) -> None:
        """Answer what waits with `Unavailable` and end both threads."""
        if self._line is not None:
            self._line.stop()
            self._text.stop()

    def _warm_up(self) -> None:
        """Examples through the model thread, as requests will run."""
        assert self.task is not None
        assert self._line is not None
        for words in WARM_UP_WORDS:
            request = self.task.sized_example(words)
            prepared = self.task.preprocess(request)
            costs = [self.task.cost(row) for row in prepared.rows]
            done: list[Job] = []
            job = Job(prepared.rows, costs, prepared.params, done.append)
            self._line.submit(job)
            while not done:
                time.sleep(0.001)
            if job.error is not None:
                raise LoadError(f"{self.config.name}: does not answer its own example ({job.error})") from job.error
            self.task.postprocess(request, prepared, job.outputs)

    def _count_answer(self) -> None:
        now = time.monotonic()
        gap = now - self._answered_at
        self._answered_at = now
        # Exponentially weighted over about a second, whatever the rate.
        weight = 1 - math.exp(-gap)
        self._drain_rate += weight * (1 / max(gap, 1e-6) - self._drain_rate)
