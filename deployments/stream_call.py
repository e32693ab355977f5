"""StreamCall: a request whose answer is told while it is written.

Its pieces go from the model thread to the event loop, the last one by way of the text thread, which knows the whole
text by then. Several rows of an item are told one after the other.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from deployments.call import Answer, Call
from deployments.errors import InvalidInput
from deployments.generating_task import GeneratingTask
from deployments.generation.ask import Piece
from deployments.job import Job
from deployments.task import Prepared

Event = dict[str, Any]


class StreamCall(Call):
    """One request. Its events come in `events`, on the event loop; None is the end, which `future` tells more about."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._heard: deque[Piece] = deque()
        self._is_waking = False  # whether the event loop will look at what was heard
        self._waking = threading.Lock()
        self._later: dict[int, list[Piece]] = {}  # of rows whose turn has not come
        self._turn = 0
        self._told = 0
        self._last: Piece | None = None
        self._retell: Callable[[Piece], Piece] = lambda piece: piece

    @property
    def _writing(self) -> GeneratingTask[Any, Any]:
        assert isinstance(self._task, GeneratingTask)
        return self._task

    def _check(self) -> None:
        if len(self._items) > 1:
            raise InvalidInput("stream: takes one input, not a list of several")

    def _job(self, prepared: Prepared) -> Job:
        job = super()._job(prepared)
        self._retell = self._writing.retelling(prepared)
        job.on_piece = self._hear
        return job

    def _hear(self, piece: Piece) -> None:
        """Model thread: the next token of a row."""
        with self._waking:
            self._heard.append(piece)
            if self._is_waking:
                return
            self._is_waking = True
        self._on_loop(self._tell)

    def _tell(self) -> None:
        """Event loop: pieces to events, one row after the other."""
        with self._waking:
            heard, self._heard = self._heard, deque()
            self._is_waking = False
        for piece in heard:
            self._later.setdefault(piece.row, []).append(piece)
        while self._turn in self._later:
            pieces = self._later.pop(self._turn)
            for piece in pieces:
                self._put(piece)
            if not pieces[-1].is_last:
                return
            self._turn += 1

    def _put(self, piece: Piece) -> None:
        piece = self._retell(piece)
        if piece.is_last and piece.row == self._last_row:
            self._last = piece  # told with the whole text
            return
        self._told += 1
        self.events.put_nowait(self._writing.event(piece, self._told))

    @property
    def _last_row(self) -> int:
        return len(self._prepared[0].rows) - 1 if self._prepared else 0

    def _finished(self, answer: Answer) -> None:
        """Text thread: the whole text is known."""
        ending = self._writing.ending(self._items[0], self._prepared[0], self._jobs[0].outputs)
        self._on_loop(lambda: self._end(ending))
        super()._finished(answer)

    def _end(self, ending: Event) -> None:
        if self._last is not None:
            self.events.put_nowait(self._writing.event(self._last, self._told + 1) | ending)

    def _settle(self, set_outcome: Callable[["asyncio.Future[Answer]"], None]) -> None:
        super()._settle(set_outcome)
        self._on_loop(lambda: self.events.put_nowait(None))
