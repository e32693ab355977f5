"""A model of `compute` in ONNX Runtime, in a virtual environment of its own (`make onnxruntime`).

    python -m loadtests.bench.compute.onnx_peer DTYPE FOLDER

Imports nothing of the service. int8 is made by ONNX Runtime's own tools: dynamic where the model has no convolutions,
which is what is published for sentence-transformers, else static, calibrated with half of the inputs. Weights have 7
bits, which ONNX Runtime advises where a CPU has no VNNI.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtests.processes.child import answer_calls


class Peer:
    """The child's side: answers "about", "batches", "alone" and "outputs", as `served` does."""

    def __init__(self, dtype: str, folder: Path) -> None:
        self._dtype, self._folder = dtype, folder
        self._alone = list(_inputs(folder, "alone"))
        file = folder / f"{dtype}.onnx"
        if dtype == "int8":
            _quantize(folder / "float32.onnx", file, self._alone[: len(self._alone) // 2])
        import onnxruntime

        began, cpu = time.monotonic(), time.process_time()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._load_s, self._load_cpu_s = time.monotonic() - began, time.process_time() - cpu
        self._names = [each.name for each in self._session.get_inputs()]
        self._batches = list(_inputs(folder, "batches"))

    def __call__(self, what: str) -> Any:
        return getattr(self, what)()

    def about(self) -> dict[str, Any]:
        return {"load_s": self._load_s, "load_cpu_s": self._load_cpu_s}

    def batches(self) -> float:
        return self._time(self._batches)

    def alone(self) -> float:
        return self._time(self._alone)

    def outputs(self) -> str:
        import numpy as np

        path = self._folder / f"onnxruntime-{self._dtype}.npz"
        np.savez(path, *[self._run(inputs)[0][0] for inputs in self._alone])
        return str(path)

    def _time(self, all_inputs: list[dict[str, Any]]) -> float:
        began = time.process_time()
        rows = sum(len(self._run(inputs)[0]) for inputs in all_inputs)
        return (time.process_time() - began) / rows * 1e3

    def _run(self, inputs: dict[str, Any]) -> Any:
        return self._session.run(None, {name: inputs[name] for name in self._names})


def _inputs(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    import numpy as np

    for path in sorted(folder.glob(f"{name}-*.npz")):
        with np.load(path) as stored:
            yield {each: stored[each] for each in stored.files}


def _quantize(source: Path, target: Path, inputs: list[dict[str, Any]]) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = onnx.load(str(source))
    names = {each.name for each in model.graph.input}
    if not any(node.op_type == "Conv" for node in model.graph.node):
        quantize_dynamic(str(source), str(target), reduce_range=True)
        return

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest = iter(inputs)

        def get_next(self) -> dict[str, Any] | None:
            found = next(self._rest, None)
            return None if found is None else {name: found[name] for name in names}

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)  # folds batch normalisation, among others
    quantize_static(
        str(prepared), str(target), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True
    )


if __name__ == "__main__":
    answer_calls(Peer(sys.argv[1], Path(sys.argv[2])))
