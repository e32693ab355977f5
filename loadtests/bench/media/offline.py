"""The offline passes of `media`: the same files through the same model without a service, on one thread.

Batches are made by the service's own rule, which may choose from all files at once. The model is in a process of its
own, as in a replica.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.processes.child import Child, answer_calls
from loadtests.processes.environment import child_environment


@dataclass(frozen=True, slots=True)
class OfflinePass:
    """All files through the model once. Elapsed seconds: of decoding and feature extraction, and of the forwards."""

    preprocess_s: float
    forward_s: float

    @property
    def wall_s(self) -> float:
        return self.preprocess_s + self.forward_s


class MediaOffline:
    """A model in a process of its own."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def run(self) -> OfflinePass:
        return OfflinePass(**self._child.call(None))


@contextmanager
def media_offline(model: str, folder: Path) -> Iterator[MediaOffline]:
    """Load a model, named as in a configuration, and read all files of a folder."""
    with Child(__name__, model, str(folder), environment=child_environment(threads=1)) as child:
        yield MediaOffline(child)


class _Runner:
    """The child's side."""

    def __init__(self, model: str, folder: str) -> None:
        import torch

        from deployments.config import ModelConfig
        from deployments.layouts.check import choose_layout
        from deployments.layouts.task import ForwardTask
        from deployments.media.content import Media
        from deployments.registry import task_of

        torch.set_num_threads(1)
        config = ModelConfig(model=model)
        kind = task_of(config)
        task = kind(kind.load_checkpoint(config))
        assert isinstance(task, ForwardTask)
        self._task = task
        choose_layout(task)
        files = sorted(path for path in Path(folder).iterdir() if path.is_file())
        self._requests = [kind.request(inputs=Media(path.read_bytes())) for path in files]

    def run(self, _: None) -> dict[str, Any]:
        began = time.perf_counter()
        prepared = [self._task.preprocess(request) for request in self._requests]
        read = time.perf_counter()
        for batch, params in self._batches(prepared):
            self._task.forward(batch, params)
        return asdict(OfflinePass(read - began, time.perf_counter() - read))

    def _batches(self, prepared: list[Any]) -> Iterator[tuple[list[Any], Any]]:
        """Batches, the longest rows first."""
        from deployments.batching.job import Job
        from deployments.batching.queue import QueuedRow

        task = self._task
        assert task.layout is not None
        selection = task.layout.selection(task.checkpoint.config.batching, "cpu")
        jobs = [Job(p.rows, [task.cost(row) for row in p.rows], p.params) for p in prepared]
        waiting = [
            QueuedRow(job, index, job.costs[index], row.length, job.params)
            for job in jobs
            for index, row in enumerate(job.rows)
        ]
        waiting.sort(key=lambda entry: -entry.length)
        while waiting:
            picked = set(selection.pick(waiting))
            batch = [waiting[index] for index in picked]
            yield [entry.row for entry in batch], batch[0].params
            waiting = [entry for index, entry in enumerate(waiting) if index not in picked]


if __name__ == "__main__":
    answer_calls(_Runner(sys.argv[1], sys.argv[2]).run)
