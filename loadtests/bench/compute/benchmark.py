"""`compute`: forwards of a text, a picture and a sound model, by all that can compute them, on one thread.

Every variant is loaded in a process of its own; all of a subject are held at once, and measured in turns, because the
speed of a shared machine changes. Times are of the processor. No service runs: `batching` and `media` measure that.
"""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtests.bench.compute.inputs import SUBJECTS
from loadtests.bench.compute.served import SETTINGS
from loadtests.processes.child import Child
from loadtests.processes.environment import ROOT, child_environment
from loadtests.report.progress import Log

PARTS = tuple(SUBJECTS)
PEERS = {"ONNX Runtime float32": "float32", "ONNX Runtime int8": "int8"}
VARIANTS = (*SETTINGS, *PEERS)
REFERENCE = "torch"
PEER_PYTHON = ROOT / ".onnxruntime" / "bin" / "python"
EXPORT_S = 300.0  # at most


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        inputs: number of texts, pictures or recordings.
        rounds: number of passes of each variant, batches and alone.
        parts: of `PARTS`.
    """

    inputs: int = 32
    rounds: int = 3
    parts: tuple[str, ...] = PARTS


QUICK: dict[str, Any] = {"inputs": 16, "rounds": 1}


@dataclass(slots=True)
class Measured:
    """One variant of one subject. Milliseconds are of the processor, per input.

    Attributes:
        refused: why it does not run here; empty if it does.
        load_s: of model and processor, imports included for what runs in the service; by the clock.
        load_cpu_s: the same, of the processor.
        memory_mb: of the process alone (unique set size), once it has answered.
        cosine: the smallest of an input's outputs with those of torch.
        batches_ms: in each round.
        alone_ms: in each round.
    """

    refused: str = ""
    load_s: float | None = None
    load_cpu_s: float | None = None
    memory_mb: float | None = None
    cosine: float | None = None
    batches_ms: list[float] = field(default_factory=list)
    alone_ms: list[float] = field(default_factory=list)


Measurements = dict[str, dict[str, Measured]]
"""By part and variant."""


def run(plan: Plan, log: Log) -> Measurements:
    """Measure all parts of the plan."""
    done: Measurements = defaultdict(dict)
    for part in plan.parts:
        _build(part, log)
        with TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
            children = _start(part, plan, Path(folder), stack, done[part], log)
            for number in range(plan.rounds):
                log(f"{part}: round {number + 1} of {plan.rounds}")
                for variant, child in children.items():
                    done[part][variant].batches_ms.append(child.call("batches"))
                    done[part][variant].alone_ms.append(child.call("alone"))
            _finish(children, done[part])
    return dict(done)


def _build(part: str, log: Log) -> None:
    """Make the builds that variants lack."""
    from rich.console import Console

    from loadtests.bench.compute.served import config_of
    from serve.cli.build.builds import make_builds, unbuilt

    for model in unbuilt([config_of(part, variant) for variant in SETTINGS]):
        log(f"{part}: building {model.dtype or 'float32'}")
        make_builds(Console(stderr=True), [model])


def _start(
    part: str, plan: Plan, folder: Path, stack: ExitStack, done: dict[str, Measured], log: Log
) -> Mapping[str, Child]:
    """Load every variant, and let it answer once; those that do not run here are noted."""
    environment = child_environment(threads=1)
    children = {}
    for variant in VARIANTS:
        log(f"{part}: loading {variant}")
        if variant in SETTINGS:
            served = "loadtests.bench.compute.served"
            child = Child(served, part, variant, str(plan.inputs), str(folder), environment=environment)
        elif not PEER_PYTHON.exists():
            done[variant] = Measured(refused="it is not installed; `make onnxruntime` installs it")
            continue
        else:
            if not (folder / "float32.onnx").exists():
                _export(part, plan, folder, environment)
            peer = "loadtests.bench.compute.onnx_peer"
            child = Child(peer, PEERS[variant], str(folder), environment=environment, python=str(PEER_PYTHON))
        stack.enter_context(child)
        done[variant] = Measured(**child.call("about"))
        if not done[variant].refused:
            child.call("batches")  # the first calls are slower
            children[variant] = child
    return children


def _export(part: str, plan: Plan, folder: Path, environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "loadtests.bench.compute.onnx_export", part, str(plan.inputs), str(folder)]
    subprocess.run(command, env=dict(environment), check=True, stdout=sys.stderr, timeout=EXPORT_S)


def _finish(children: Mapping[str, Child], done: Mapping[str, Measured]) -> None:
    import psutil

    expected = _read(children[REFERENCE].call("outputs"))
    for variant, child in children.items():
        done[variant].memory_mb = psutil.Process(child.pid).memory_full_info().uss / 1e6
        done[variant].cosine = min(map(_cosine, _read(child.call("outputs")), expected))


def _read(path: str) -> list[Any]:
    import numpy as np

    with np.load(path) as stored:
        return [stored[name] for name in stored.files]


def _cosine(a: Any, b: Any) -> float:
    import numpy as np

    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
