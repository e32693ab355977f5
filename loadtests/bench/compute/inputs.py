"""The inputs of `compute`: requests of a task, their rows, and the batches of the service's own rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.contract.task import Prepared, Row
from deployments.layouts.task import ForwardTask
from loadtests.traffic.media_files import write_images, write_recordings
from loadtests.traffic.texts import sample_texts


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, and how its inputs are made.

    Attributes:
        model: as in a configuration.
        medium: "text", "image" or "audio".
    """

    model: str
    medium: str

    def requests(self, kind: type[Any], count: int, folder: Path) -> list[Any]:
        """Requests with texts of log-normal length, or with pictures or recordings, which are written to a folder."""
        from deployments.media.content import Media

        if self.medium == "text":
            return [kind.request(inputs=text) for text in sample_texts(count)]
        folder.mkdir(parents=True, exist_ok=True)
        paths = (write_images if self.medium == "image" else write_recordings)(folder, count)
        return [kind.request(inputs=Media(path.read_bytes())) for path in paths]


SUBJECTS = {
    "text": Subject("embedded:minilm", "text"),
    "image": Subject("embedded:efficientnet-lite0", "image"),
    "sound": Subject("embedded:spoken-digits-ctc", "audio"),
}


def batches(task: ForwardTask[Any, Any], prepared: Sequence[Prepared]) -> Iterator[list[Row]]:
    """Batches of all rows by the rule of the task's layout, the longest first."""
    from deployments.batching.job import Job
    from deployments.batching.queue import QueuedRow

    assert task.layout is not None
    selection = task.layout.selection(task.checkpoint.config.batching, "cpu")
    jobs = [Job(item.rows, [task.cost(row) for row in item.rows], item.params) for item in prepared]
    waiting = [
        QueuedRow(job, i, job.costs[i], row.length, job.params) for job in jobs for i, row in enumerate(job.rows)
    ]
    waiting.sort(key=lambda entry: -entry.length)
    while waiting:
        picked = set(selection.pick(waiting))
        yield [waiting[index].row for index in picked]
        waiting = [entry for index, entry in enumerate(waiting) if index not in picked]
