"""StreamCall: a request whose answer is streamed while the model generates it.

A token goes from the model thread to the event loop; the last one of each text goes through the text thread, with the
whole text. Several texts are streamed interleaved, each event with its text's number.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from deployments.batching.job import Job
from deployments.contract.task import Prepared
from deployments.errors import InvalidInput
from deployments.generation.request import StreamedToken
from deployments.generation.task import GeneratingTask
from deployments.replica.call import Call
from deployments.telemetry.measurements import Answer, Load

Event = dict[str, Any]


class StreamMerger:
    """Merges the rows of one text into one stream, row after row; the last token is kept for the final event.

    Args:
        rows: of the text, by their numbers in the job.
        transform: what a token becomes before it is streamed.

    Attributes:
        last: the text's last token, once it was added.
        streamed: tokens that were streamed.
    """

    def __init__(self, rows: Sequence[int], transform: Callable[[StreamedToken], StreamedToken]) -> None:
        self.last: StreamedToken | None = None
        self.streamed = 0
        self._rows_left = list(rows)
        self._last_row = rows[-1]
        self._transform = transform
        self._buffered: dict[int, list[StreamedToken]] = {}  # of rows whose turn has not come

    def add(self, token: StreamedToken) -> Iterator[StreamedToken]:
        """The tokens that can be streamed with this one."""
        self._buffered.setdefault(token.row, []).append(token)
        while self._rows_left and self._rows_left[0] in self._buffered:
            tokens = self._buffered.pop(self._rows_left[0])
            for each in map(self._transform, tokens):
                if each.is_last and each.row == self._last_row:
                    self.last = each
                    break
                self.streamed += 1
                yield each
            if not tokens[-1].is_last:
                return
            del self._rows_left[0]


class StreamedText(NamedTuple):
    """One text of the answer.

    Attributes:
        item: of the request, by its number.
        rows: of the item, by their numbers.
        merger: of its tokens.
    """

    item: int
    rows: list[int]
    merger: StreamMerger


class StreamCall(Call):
    """One request. Its events are put into `events`, on the event loop; None ends them, `future` has the outcome."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._texts: list[StreamedText] = []
        self._tokens: deque[tuple[int, StreamedToken]] = deque()  # not yet on the event loop, with their text's number
        self._is_scheduled = False  # whether the event loop will emit them
        self._tokens_lock = threading.Lock()

    @property
    def _generating(self) -> GeneratingTask[Any, Any]:
        assert isinstance(self._task, GeneratingTask)
        return self._task

    def _check(self) -> None:
        if self._request.partial and len(self._items) > 1:
            raise InvalidInput("partial: not supported for a stream, which ends at the first error")

    def _job(self, prepared: Prepared) -> Job:
        job = super()._job(prepared)
        item = self._texts[-1].item + 1 if self._texts else 0
        texts: dict[int, int] = {}  # by row
        for rows in self._generating.texts(prepared):
            texts |= dict.fromkeys(rows, len(self._texts))
            merger = StreamMerger(rows, self._generating.stream_transform(prepared))
            self._texts.append(StreamedText(item, rows, merger))
        job.on_token = lambda token: self._on_token(texts[token.row], token)
        return job

    def _on_token(self, text: int, token: StreamedToken) -> None:
        """Model thread: the next token of a row. One wake-up of the event loop emits all tokens since the last."""
        with self._tokens_lock:
            self._tokens.append((text, token))
            if self._is_scheduled:
                return
            self._is_scheduled = True
        self._on_loop(self._emit)

    def _emit(self) -> None:
        """Event loop: tokens to events."""
        with self._tokens_lock:
            tokens, self._tokens = self._tokens, deque()
            self._is_scheduled = False
        for text, token in tokens:
            merger = self._texts[text].merger
            for streamed in merger.add(token):
                item = self._items[self._texts[text].item]
                self._put(text, self._generating.event(item, streamed, merger.streamed))

    def _put(self, text: int, event: Event) -> None:
        self.events.put_nowait(event | {"choice": text} if len(self._texts) > 1 else event)

    def _finished(self, answer: Answer) -> None:
        """Text thread: the whole texts are known."""
        final_events = [self._final_event(text) for text in self._texts]
        self._on_loop(lambda: self._emit_final(final_events))
        super()._finished(answer)

    def _final_event(self, text: StreamedText) -> Event:
        prepared, outputs = self._prepared[text.item], self._jobs[text.item].outputs
        part = replace(prepared, rows=[prepared.rows[row] for row in text.rows])
        return self._generating.final_event(self._items[text.item], part, [outputs[row] for row in text.rows])

    def _emit_final(self, final_events: list[Event]) -> None:
        for number, (text, final_event) in enumerate(zip(self._texts, final_events, strict=True)):
            last = text.merger.last
            if last is not None:
                event = self._generating.event(self._items[text.item], last, text.merger.streamed + 1)
                self._put(number, event | final_event)

    def so_far(self, load: Load) -> Answer | None:
        """Event loop: the measurements until now; None before the model has begun."""
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
