"""Worker: threads that run callables in order of submission: the text threads of a replica."""

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
    """Runs callables in order on one or more threads. A callable handles its own errors; an exception is only logged.

    Cheaper than an executor: there is no future per call, and the callable itself delivers its result.
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
        """Await a callable's result, from the event loop; a cancelled call does not start."""
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
        """End the threads once all submitted callables have run."""
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
