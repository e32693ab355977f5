"""A thread that runs what it is given, one after another: the text thread of a replica."""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)


class Worker:
    """Runs callables in order on one thread. A callable answers for its own errors; one that raises is logged.

    Cheaper than an executor: no future per call, and the caller's own object says where the result goes.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    def stop(self, timeout: float = 5.0) -> None:
        """End the thread after what was submitted before."""
        self._calls.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception:
                logger.exception("a call on the thread %s raised", self._thread.name)
