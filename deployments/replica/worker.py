"""Threads that run what they are given, in the order in which it came: the text threads of a replica."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")


class Worker:
    """Runs callables in order on one thread or a few. A callable answers for its own errors; one that raises is logged.

    Cheaper than an executor: no future per call, and the caller's own object says where the result goes.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}" if number else name, daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    async def result(self, call: Callable[[], ResultT]) -> ResultT:
        """What a callable returns or raises, for the event loop; if nobody waits any more, it does not begin."""
        future: Future[ResultT] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call())
            except Exception as error:
                future.set_exception(error)

        self.submit(run)
        return await asyncio.wrap_future(future)

    def stop(self, timeout: float = 5.0) -> None:
        """End the threads after what was submitted before."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout)

    @property
    def is_alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception:
                logger.exception("a call on the thread %s raised", threading.current_thread().name)
