"""Footprint: memory and load time of one replica of a model, measured by loading it and running full batches."""

import asyncio
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.checkpoints.facts import ExportedModel, facts_of
from deployments.config import ModelConfig
from deployments.contract.task import Task
from deployments.errors import DeadlineExceeded
from deployments.replica.replica import Replica

CALLERS = 32  # at once, so that batches fill
WORDS = 128  # of each text; images and audio in proportion
FILL_S = 30.0  # at most, for all of them


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory and load time of one replica.

    Attributes:
        parameters: in the weights; shared ones are counted once. None of a build, whose graph does not tell.
        weights_bytes: of weights and buffers, as loaded.
        memory_bytes: peak resident memory of the process, Python and torch included.
        gpu_bytes: peak GPU memory reserved by torch; None on other devices.
        dtype: of the weights.
        device: of the weights.
        load_s: seconds until it was ready.
    """

    parameters: int | None
    weights_bytes: int
    memory_bytes: int
    gpu_bytes: int | None
    dtype: str
    device: str
    load_s: float


def measure(config: ModelConfig, task: type[Task[Any, Any]]) -> Footprint:
    """Load a model and run full batches. Call it in a process of its own, whose memory is then the model's.

    Raises:
        LoadError: the model cannot be served as configured.
        ServiceError: the model fails on its own example.
    """
    replica = Replica(config, task)
    began = time.monotonic()
    try:
        replica.load()
        load_s = time.monotonic() - began
        asyncio.run(_fill(replica))
        assert replica.task is not None
        checkpoint = replica.task.checkpoint
        return Footprint(
            parameters=_parameters(checkpoint.model),
            weights_bytes=facts_of(checkpoint.model).weight_bytes,
            memory_bytes=_peak_bytes(),
            gpu_bytes=_max_gpu_bytes(checkpoint.device),
            dtype=checkpoint.dtype,
            device=checkpoint.device,
            load_s=load_s,
        )
    finally:
        replica.stop()


def _peak_bytes() -> int:
    """Peak resident memory of this process.

    On Linux, `ru_maxrss` of a process that was started from a large one is at least the size of that one.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _parameters(model: Any) -> int | None:
    return None if isinstance(model, ExportedModel) else sum(each.numel() for each in model.parameters())


async def _fill(replica: Replica) -> None:
    """Send requests of many callers at once; those that time out do not matter, only what ran in the model."""
    assert replica.task is not None
    requests = replica.task.sized_examples(WORDS)
    calls = [replica.predict(each, lambda value: b"", FILL_S) for each in requests for _ in range(CALLERS)]
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, DeadlineExceeded):
            raise outcome


def _max_gpu_bytes(device: str) -> int | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return int(torch.cuda.max_memory_reserved())
