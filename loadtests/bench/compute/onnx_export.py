"""Writes a model of `compute` as an ONNX file, with its inputs in padded batches, for ONNX Runtime.

    python -m loadtests.bench.compute.onnx_export SUBJECT COUNT FOLDER

In a process of its own, which has torch. Rows are sorted by length and padded to the longest of eight.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

from deployments.layouts.task import ForwardTask
from deployments.layouts.text import Layout, Packed
from deployments.openvino.export import exportable, positional
from deployments.openvino.layouts import graph_inputs
from deployments.registry import task_of
from loadtests.bench.compute.inputs import SUBJECTS
from loadtests.bench.compute.served import config_of

ROWS = 8  # of a batch, as sentence-transformers and fastembed would make them of sorted texts
OPSET = 17


def main(subject: str, count: int, folder: Path) -> None:
    import numpy as np
    import torch

    torch.set_num_threads(1)
    config = config_of(subject, "torch")
    kind: Any = task_of(config)
    task: ForwardTask[Any, Any] = kind(kind.load_checkpoint(config))
    layout = next(each for each in task.layouts() if not isinstance(each, Packed))
    requests = SUBJECTS[subject].requests(kind, count, folder / subject)
    rows = [row for request in requests for row in task.preprocess(request).rows[:1]]
    longest = sorted(rows, key=lambda row: row.length)
    groups = [longest[start : start + ROWS] for start in range(0, len(rows), ROWS)]
    for name, batch in (("batches", groups), ("alone", [[row] for row in rows])):
        for index, group in enumerate(batch):
            np.savez(folder / f"{name}-{index:04}.npz", **graph_inputs(layout, layout.arrays(group)))
    _export(task, layout, layout.arrays([rows[0], *longest[-2:]]), folder / "float32.onnx")


def _export(task: ForwardTask[Any, Any], layout: Layout, arrays: Any, file: Path) -> None:
    import torch

    inputs = graph_inputs(layout, arrays)
    names = list(inputs)
    free = {name: {axis: f"{name}_{axis}" for axis in _free(task, array)} for name, array in inputs.items()}
    with exportable(layout, task.outputs) as module, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, and of torch's newer exporter, which wants another package
        torch.onnx.export(
            positional(module, names),
            tuple(torch.from_numpy(array) for array in inputs.values()),
            str(file),
            input_names=names,
            output_names=list(task.outputs),
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )


def _free(task: ForwardTask[Any, Any], array: Any) -> range:
    """Axes whose size may change: of pictures of one size, the rows alone."""
    return range(1) if task.has_one_shape() or array.ndim > 2 else range(array.ndim)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
