"""Contender: this project's engine in process, by way of its task and line, as a replica has them for streams."""

import sys
from collections.abc import Sequence
from typing import Any

from loadtests.bench.generation.driver import Track, wait_for

ROWS = 16  # that decode together, for everybody


class InFlight:
    """`GenerationLine` with every token's text and log-probability, which a stream says."""

    def __init__(self, folder: str) -> None:
        from deployments import checkpoint
        from deployments.config import Generation, ModelConfig
        from deployments.observer import Observer
        from deployments.registry import task_of
        from deployments.replica import SWITCH_INTERVAL_S

        config = ModelConfig(model=folder, device="cpu", generation=Generation(max_rows=ROWS))
        kind = task_of(config)
        self._request = kind.request
        self._task: Any = kind(checkpoint.load(config, kind))
        opened = self._task.open_line("model", Observer())
        if opened.description["generation"]["mode"] != "in-flight":
            raise RuntimeError(f"not in flight: {opened.description['generation']}")
        self._line: Any = opened.line
        self._line.start()
        self._jobs: list[Any] = []
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    def submit(self, tracks: Sequence[Track]) -> None:
        from deployments.job import Job

        for track in tracks:
            prepared = self._task.preprocess(self._asked(track))
            costs = [self._task.cost(row) for row in prepared.rows]
            job = Job(prepared.rows, costs, prepared.params, _told(track), on_piece=_heard(track))
            self._jobs.append(job)
            self._line.submit(job)

    def clear(self) -> None:
        for job in self._jobs:
            self._line.cancel(job)
        self._jobs.clear()
        wait_for(lambda: self._line.busy_since is None)

    def close(self) -> None:
        self._line.stop()
        sys.setswitchinterval(self._switch_interval)

    def _asked(self, track: Track) -> Any:
        parameters = {"max_new_tokens": track.wanted.new}
        return self._request(inputs=track.wanted.text, parameters=parameters, stream=True)


def _heard(track: Track) -> Any:
    return lambda piece: track.hear()


def _told(track: Track) -> Any:
    return lambda job: track.fail(type(job.error).__name__) if job.error is not None else None
