"""Footprint: what one replica of a model takes, measured by loading it and having it answer full batches."""

import asyncio
import resource
import time
from dataclasses import dataclass
from typing import Any

from deployments.config import ModelConfig
from deployments.contract.task import Task
from deployments.errors import DeadlineExceeded
from deployments.replica.replica import Replica, weight_bytes

CALLERS = 32  # at once, so that batches fill
WORDS = 128  # of each of their texts; pictures and recordings in proportion
FILL_S = 30.0  # at most, for all of them


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one replica.

    Attributes:
        parameters: numbers in the weights; those that are shared are counted once.
        weights_bytes: of weights and buffers, as they were loaded.
        memory_bytes: most resident memory that the process had, Python and torch included.
        gpu_bytes: most that torch held of the GPU; None where the model was not on one.
        dtype: of the weights.
        device: where they were.
        load_s: until it was ready.
    """

    parameters: int
    weights_bytes: int
    memory_bytes: int
    gpu_bytes: int | None
    dtype: str
    device: str
    load_s: float


def measure(config: ModelConfig, task: type[Task[Any, Any]]) -> Footprint:
    """Load a model, fill its batches, and say what that took. For a process of its own, whose memory is the model's.

    Raises:
        LoadError: the model cannot be served as configured.
        ServiceError: it does not answer its own example.
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
            parameters=sum(parameter.numel() for parameter in checkpoint.model.parameters()),
            weights_bytes=weight_bytes(checkpoint.model),
            memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            gpu_bytes=_most_of_gpu(checkpoint.device),
            dtype=checkpoint.dtype,
            device=checkpoint.device,
            load_s=load_s,
        )
    finally:
        replica.stop()


async def _fill(replica: Replica) -> None:
    """Many callers at once; who is not answered in time does not matter, what went through the model does."""
    assert replica.task is not None
    request = replica.task.sized_example(WORDS)
    calls = [replica.predict(request, lambda value: b"", FILL_S) for _ in range(CALLERS)]
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, DeadlineExceeded):
            raise outcome


def _most_of_gpu(device: str) -> int | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return int(torch.cuda.max_memory_reserved())
