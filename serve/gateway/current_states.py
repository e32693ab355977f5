"""CurrentStates: every model's state, as of the last second."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Protocol

from serve.cluster.states import ModelState

logger = logging.getLogger(__name__)

MAX_AGE_S = 1.0  # a call to Serve's controller takes milliseconds, and requests may be frequent
PATIENCE_S = 0.5  # for which a request waits for the controller; it goes on without an answer


class Reader(Protocol):
    """Reads the states; `serve.cluster.states.StateReader`."""

    def read(self) -> dict[str, ModelState]: ...


class CurrentStates:
    """Reads the states again once they are older than `MAX_AGE_S`; one read at a time, on a thread.

    Args:
        reader: of the states.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._states: dict[str, ModelState] = {}
        self._read_at = -MAX_AGE_S
        self._reading: asyncio.Task[None] | None = None
        self._late: asyncio.Task[None] | None = None  # a read that has taken longer than `PATIENCE_S`

    async def read(self) -> dict[str, ModelState]:
        """Each model's state, in order.

        Raises:
            Exception: the controller cannot be asked.
        """
        if (reading := self._refresh()) is not None:
            await asyncio.shield(reading)
        return self._states

    async def known(self) -> Mapping[str, ModelState]:
        """The same without delay and errors: if the controller does not answer soon, the last that is known."""
        reading = self._refresh()
        if reading is not None and reading is not self._late:
            _, late = await asyncio.wait({reading}, timeout=PATIENCE_S)
            self._late = next(iter(late), None)
        return self._states

    def _refresh(self) -> "asyncio.Task[None] | None":
        """The read to wait for; None if the states are young enough."""
        if self._reading is None and time.monotonic() - self._read_at >= MAX_AGE_S:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(lambda read: read.cancelled() or read.exception())  # `known` ignores it
        return self._reading

    async def _read(self) -> None:
        try:
            self._states = await asyncio.to_thread(self._reader.read)
            self._read_at = time.monotonic()
        except Exception as error:
            logger.warning("the models' states cannot be read: %s", error)
            raise
        finally:
            self._reading = None
