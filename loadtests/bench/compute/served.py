"""A model of `compute` in a process of its own, loaded as a replica loads it: by torch, or from a build of OpenVINO.

python -m loadtests.bench.compute.served SUBJECT VARIANT COUNT FOLDER
"""

import sys
import time
from pathlib import Path
from typing import Any

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.layouts.task import ForwardTask
from deployments.registry import task_of
from loadtests.bench.compute.inputs import SUBJECTS, batches
from loadtests.processes.child import answer_calls

SETTINGS: dict[str, dict[str, Any]] = {
    "torch": {"backend": "torch"},
    "OpenVINO float32": {"backend": "openvino"},
    "OpenVINO bfloat16": {"backend": "openvino", "dtype": "bfloat16"},
    "OpenVINO int8": {"backend": "openvino", "dtype": "int8"},
}


def config_of(subject: str, variant: str) -> ModelConfig:
    """The configuration that a variant serves."""
    settings = {"model": SUBJECTS[subject].model, "resources": {"cpu_threads": 1}, **SETTINGS[variant]}
    return ModelConfig.model_validate(settings)


class Served:
    """The child's side: answers "about", "batches", "alone" and "outputs"."""

    def __init__(self, subject: str, variant: str, count: int, folder: Path) -> None:
        from deployments.layouts.check import choose_layout
        from deployments.replica.loading import load_task

        config = config_of(subject, variant)
        kind = task_of(config)
        self._folder, self._variant, self._refused = folder, variant, ""
        began, cpu = time.monotonic(), time.process_time()
        try:
            task, backend = load_task(config, kind, report=lambda progress: None, owns_process=True)
        except LoadError as error:
            self._refused = str(error)
            return
        assert isinstance(task, ForwardTask)
        self._task = task
        if backend.build is None:
            choose_layout(task)
        self._load_s, self._load_cpu_s = time.monotonic() - began, time.process_time() - cpu
        requests = SUBJECTS[subject].requests(kind, count, folder / subject)
        prepared = [task.preprocess(request) for request in requests]
        self._params = prepared[0].params
        self._rows = [row for item in prepared for row in item.rows[:1]]
        self._batches = list(batches(task, prepared))

    def __call__(self, what: str) -> Any:
        return getattr(self, what)()

    def about(self) -> dict[str, Any]:
        """Seconds of the load by the clock and of the processor, or why the variant does not run."""
        if self._refused:
            return {"refused": self._refused}
        return {"load_s": self._load_s, "load_cpu_s": self._load_cpu_s}

    def batches(self) -> float:
        """Milliseconds of processor time per row, in batches."""
        began = time.process_time()
        for rows in self._batches:
            self._task.forward(rows, self._params)
        return (time.process_time() - began) / sum(map(len, self._batches)) * 1e3

    def alone(self) -> float:
        """Milliseconds of processor time per row, one at a time."""
        began = time.process_time()
        for row in self._rows:
            self._task.forward([row], self._params)
        return (time.process_time() - began) / len(self._rows) * 1e3

    def outputs(self) -> str:
        """A file with the model's output for each row alone, without padding."""
        import numpy as np

        from deployments.numerics import as_float32

        found = []
        for row in self._rows:
            batch = self._task.run([row])
            found.append(as_float32(getattr(batch.output, self._task.outputs[0]))[0])
        path = self._folder / f"{self._variant}.npz"
        np.savez(path, *found)
        return str(path)


if __name__ == "__main__":
    answer_calls(Served(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
