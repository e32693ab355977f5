"""StreamCall: a request whose answer is told while it is written.

Its pieces go from the model thread to the event loop, the last of each text by way of the text thread, which knows the
whole text by then. Several texts are told as they come, each event with the number of its text.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from deployments.batching.job import Job
from deployments.contract.task import Prepared
from deployments.errors import InvalidInput
from deployments.generation.request import Piece
from deployments.generation.task import GeneratingTask
from deployments.replica.call import Call
from deployments.telemetry.measurements import Answer, Load

Event = dict[str, Any]


class Telling:
    """Tells the rows of one text one after the other, as they come; the last piece is kept for the whole text.

    Args:
        rows: of the text, by their numbers in the job.
        retell: what a piece becomes before it is told.

    Attributes:
        last: the text's last piece, once it was heard.
        told: pieces that were told.
    """

    def __init__(self, rows: Sequence[int], retell: Callable[[Piece], Piece]) -> None:
        self.last: Piece | None = None
        self.told = 0
        self._turns = list(rows)
        self._end = rows[-1]
        self._retell = retell
        self._later: dict[int, list[Piece]] = {}  # of rows whose turn has not come

    def tell(self, heard: Iterable[Piece]) -> Iterator[Piece]:
        """What can be told now, with those that were heard."""
        for piece in heard:
            self._later.setdefault(piece.row, []).append(piece)
        while self._turns and self._turns[0] in self._later:
            pieces = self._later.pop(self._turns[0])
            for piece in map(self._retell, pieces):
                if piece.is_last and piece.row == self._end:
                    self.last = piece
                    break
                self.told += 1
                yield piece
            if not pieces[-1].is_last:
                return
            del self._turns[0]


class Text(NamedTuple):
    """One text of the answer.

    Attributes:
        item: of the request, by its number.
        rows: of the item, by their numbers.
    """

    item: int
    rows: list[int]
    telling: Telling


class StreamCall(Call):
    """One request. Its events come in `events`, on the event loop; None is the end, which `future` tells more about."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._texts: list[Text] = []
        self._heard: deque[tuple[int, Piece]] = deque()  # each with its text's number
        self._is_waking = False  # whether the event loop will look at what was heard
        self._waking = threading.Lock()

    @property
    def _writing(self) -> GeneratingTask[Any, Any]:
        assert isinstance(self._task, GeneratingTask)
        return self._task

    def _check(self) -> None:
        if self._request.partial and len(self._items) > 1:
            raise InvalidInput("partial: a stream answers every input or ends with an error")

    def _job(self, prepared: Prepared) -> Job:
        job = super()._job(prepared)
        item = self._texts[-1].item + 1 if self._texts else 0
        texts: dict[int, int] = {}  # by row
        for rows in self._writing.texts(prepared):
            texts |= dict.fromkeys(rows, len(self._texts))
            self._texts.append(Text(item, rows, Telling(rows, self._writing.retelling(prepared))))
        job.on_piece = lambda piece: self._hear(texts[piece.row], piece)
        return job

    def _hear(self, text: int, piece: Piece) -> None:
        """Model thread: the next token of a row."""
        with self._waking:
            self._heard.append((text, piece))
            if self._is_waking:
                return
            self._is_waking = True
        self._on_loop(self._tell)

    def _tell(self) -> None:
        """Event loop: pieces to events."""
        with self._waking:
            heard, self._heard = self._heard, deque()
            self._is_waking = False
        for text, piece in heard:
            telling = self._texts[text].telling
            for told in telling.tell([piece]):
                self._put(text, self._writing.event(told, telling.told))

    def _put(self, text: int, event: Event) -> None:
        self.events.put_nowait(event | {"choice": text} if len(self._texts) > 1 else event)

    def _finished(self, answer: Answer) -> None:
        """Text thread: the whole texts are known."""
        endings = [self._ending(text) for text in self._texts]
        self._on_loop(lambda: self._end(endings))
        super()._finished(answer)

    def _ending(self, text: Text) -> Event:
        prepared, outputs = self._prepared[text.item], self._jobs[text.item].outputs
        part = replace(prepared, rows=[prepared.rows[row] for row in text.rows])
        return self._writing.ending(self._items[text.item], part, [outputs[row] for row in text.rows])

    def _end(self, endings: list[Event]) -> None:
        for number, (text, ending) in enumerate(zip(self._texts, endings, strict=True)):
            last = text.telling.last
            if last is not None:
                self._put(number, self._writing.event(last, text.telling.told + 1) | ending)

    def so_far(self, load: Load) -> Answer | None:
        """Event loop: what it has taken until now; None where it is not known when the model began."""
        started = min((job.started for job in self._jobs if job.started), default=0.0)
        if not started:
            return None
        return Answer(
            body=b"",
            queue_s=started - self._jobs[0].submitted,
            preprocess_s=self._preprocess_s,
            forward_s=time.monotonic() - started,
            postprocess_s=0.0,
            batch_rows=load.running,
            padding_ratio=load.padding_ratio,
            truncated=sum(prepared.truncated for prepared in self._prepared),
            tokens=(sum(self._task.tokens_in(prepared) for prepared in self._prepared), None),
            items=len(self._jobs),
        )

    def _settle(self, set_outcome: Callable[["asyncio.Future[Answer]"], None]) -> None:
        super()._settle(set_outcome)
        self._on_loop(lambda: self.events.put_nowait(None))
