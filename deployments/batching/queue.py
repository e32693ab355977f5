"""RowQueue: the rows that wait for a model, oldest first. Not thread-safe."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from deployments.batching.forward_time import ForwardTime
from deployments.batching.job import Job
from deployments.batching.selection import Selection


@dataclass(slots=True, eq=False)
class QueuedRow:
    """A waiting row: the `index`-th of its job."""

    job: Job
    index: int
    cost: int
    length: int
    params: Hashable

    @property
    def row(self) -> Any:
        return self.job.rows[self.index]


class QueueBatch(NamedTuple):
    """What `RowQueue.take` removed from the queue.

    Attributes:
        batch: rows to run now; may be empty.
        expired: jobs that cannot meet their deadline.
        dropped: how many rows these had in the queue.
    """

    batch: list[QueuedRow]
    expired: set[Job]
    dropped: int


class RowQueue:
    """Waiting rows in order of arrival.

    Args:
        selection: the rule that picks the next batch.
        forward_time: estimates a batch's time. None where that does not follow from its cost.
    """

    def __init__(self, selection: Selection, forward_time: ForwardTime | None = None) -> None:
        self._selection = selection
        self._forward_time = forward_time
        self._entries: list[QueuedRow] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, job: Job) -> None:
        """Append all rows of a job."""
        self._entries += [
            QueuedRow(job, index, job.costs[index], row.length, job.params) for index, row in enumerate(job.rows)
        ]

    def remove(self, jobs: set[Job]) -> int:
        """Drop the rows of these jobs; returns how many there were."""
        if not jobs:
            return 0
        before = len(self._entries)
        self._entries = [entry for entry in self._entries if entry.job not in jobs]
        return before - len(self._entries)

    def clear(self) -> list[Job]:
        """Drop all rows; returns the job of each."""
        entries, self._entries = self._entries, []
        return [entry.job for entry in entries]

    def take(self, now: float) -> QueueBatch:
        """The next batch, without rows that are late at `now` or would be late at its end.

        When the queue is as long as the callers' timeout, every row of every batch may be late by just the time of
        that batch: the model would be busy and no caller answered.
        """
        self._entries = [entry for entry in self._entries if not entry.job.is_settled]
        expired = {entry.job for entry in self._entries if entry.job.deadline < now}
        dropped = self.remove(expired)
        while self._entries:
            picked = sorted(self._selection.pick(self._entries))
            done = now + self._forward_s(picked)
            late = {job for index in picked if (job := self._entries[index].job).deadline < done}
            if not late:
                return QueueBatch(self._take_out(picked), expired, dropped)
            dropped += self.remove(late)
            expired |= late
        return QueueBatch([], expired, dropped)

    def _forward_s(self, picked: Sequence[int]) -> float:
        if self._forward_time is None:
            return 0.0
        return self._forward_time.estimate(sum(self._entries[index].cost for index in picked))

    def _take_out(self, picked: Sequence[int]) -> list[QueuedRow]:
        batch = [self._entries[index] for index in picked]
        if picked[-1] == len(picked) - 1:  # the usual case: the head of the queue
            del self._entries[: len(picked)]
        else:
            taken = set(picked)
            self._entries = [entry for index, entry in enumerate(self._entries) if index not in taken]
        return batch
