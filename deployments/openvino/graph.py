"""An exported graph, compiled by OpenVINO for this machine's CPU: named numpy arrays in, numpy arrays out."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TELEMETRY = "openvino_telemetry"


def import_openvino() -> Any:
    """The module `openvino`, imported so that it reports nothing.

    Its tools send events to a server, from the import on, by a package that counts as absent here.
    """
    forbid_reports()
    import openvino

    return openvino


def forbid_reports() -> None:
    """Let the package that reports count as absent, before openvino is imported."""
    sys.modules.setdefault(TELEMETRY, None)  # type: ignore[arg-type]


def reason_of(error: Exception) -> str:
    """What an error says, in one line; OpenVINO's begin with the lines of its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if not line.startswith("Exception from ")), "")
    return f"{type(error).__name__}: {line}"


def compile_graph(model: Any, threads: int | None, **settings: Any) -> Any:
    """A request of a graph that is compiled for this machine's CPU.

    Args:
        model: an `openvino.Model`, or the path of its XML file. The weights of a file are mapped, and shared by all
            processes that use it.
        threads: compute threads; None: one per core.
        settings: of OpenVINO, beside those that hold for every graph, or in their place.
    """
    openvino = import_openvino()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # it takes bfloat16 by default where the CPU has it
        "ENABLE_CPU_PINNING": False,  # several replicas would be pinned to the same cores
        "ENABLE_MMAP": True,
        **settings,
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    source = str(model) if isinstance(model, Path) else model
    return openvino.Core().compile_model(source, "CPU", settings).create_infer_request()


class Graph:
    """A compiled graph. It has one request, so that only one thread may call it at a time.

    Args:
        model: an `openvino.Model`, or the path of its XML file. The weights of a file are mapped, and shared by all
            processes that use it.
        outputs: names for its outputs, in order.
        threads: compute threads; None: one per core.
        precision: OpenVINO's hint of what it computes in, where the graph does not say: "f32" or "bf16".
    """

    def __init__(self, model: Any, outputs: Sequence[str], threads: int | None = None, precision: str = "f32") -> None:
        self._request = compile_graph(model, threads, INFERENCE_PRECISION_HINT=precision)
        self._outputs = tuple(outputs)
        self.inputs = tuple(port.any_name for port in self._request.model_inputs)

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name. Inputs that the graph has no use for are left out."""
        self._request.infer({name: inputs[name] for name in self.inputs}, share_inputs=True)
        # Copies: the next call writes to the same memory.
        return {name: self._request.get_output_tensor(i).data.copy() for i, name in enumerate(self._outputs)}
