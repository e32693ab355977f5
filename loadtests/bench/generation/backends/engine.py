"""Backend: this project's engine in process, used through its task and queue as by a replica for streams."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtests.bench.generation.driver import RequestInFlight, wait_until_idle

MAX_ROWS = 16  # rows that are decoded together, by all backends


class EngineBackend:
    """The engine, with the text and log-probability of every token, which a stream has.

    Args:
        folder: of the checkpoint.
        is_exported: whether the model runs from its build, which is made here.
    """

    def __init__(self, folder: str, *, is_exported: bool) -> None:
        from deployments.config import Generation, ModelConfig
        from deployments.registry import task_of
        from deployments.replica.engines import engine_for
        from deployments.replica.replica import SWITCH_INTERVAL_S
        from deployments.telemetry.observer import Observer

        config = ModelConfig(model=folder, device="cpu", generation=Generation(max_rows=MAX_ROWS))
        kind = task_of(config)
        self._request = kind.request
        self._task: Any = _exported(config, kind) if is_exported else kind(kind.load_checkpoint(config))
        engine = engine_for(self._task, "model", Observer())
        if engine.description["generation"]["mode"] != "in-flight":
            raise RuntimeError(f"no continuous batching: {engine.description['generation']}")
        self._scheduler: Any = engine.scheduler
        self._scheduler.start()
        self._jobs: list[Any] = []
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    def submit(self, requests: Sequence[RequestInFlight]) -> None:
        from deployments.batching.job import Job

        for each in requests:
            prepared = self._task.preprocess(self._generate_request(each))
            costs = [self._task.cost(row) for row in prepared.rows]
            job = Job(prepared.rows, costs, prepared.params, done=_on_end(each), on_token=_on_token(each))
            self._jobs.append(job)
            self._scheduler.submit(job)

    def cancel(self) -> None:
        for job in self._jobs:
            self._scheduler.cancel(job)
        self._jobs.clear()
        wait_until_idle(lambda: self._scheduler.busy_since is None)

    def close(self) -> None:
        self._scheduler.stop()
        sys.setswitchinterval(self._switch_interval)

    def _generate_request(self, each: RequestInFlight) -> Any:
        parameters = {"max_new_tokens": each.request.new}
        return self._request(inputs=each.request.text, parameters=parameters, stream=True)


def _exported(config: Any, kind: Any) -> Any:
    """The task on its build."""
    from deployments.generation.paged_attention.build import build_decoder, load_decoder
    from deployments.openvino.manifest import Build

    config = config.model_copy(update={"resources": config.resources.model_copy(update={"cpu_threads": 1})})
    with TemporaryDirectory(prefix="bench-") as place:
        manifest = build_decoder(kind(kind.load_checkpoint(config)), Path(place))
        if manifest.refused:
            raise RuntimeError(f"no build: {manifest.refused}")
        return load_decoder(config, kind, Build(Path(place), manifest))


def _on_token(request: RequestInFlight) -> Callable[[Any], None]:
    return lambda _: request.add_tokens()


def _on_end(request: RequestInFlight) -> Callable[[Any], None]:
    return lambda job: request.fail(type(job.error).__name__) if job.error is not None else None
