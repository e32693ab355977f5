"""The process that builds models. It imports torch once, and forks for each model.

    python -m serve.cli.build.process < configurations

Reads a JSON list of model configurations from its input, and writes a line of JSON for each event. A model that crashes
its process, or takes all the memory, does not end the others.
"""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.layouts.task import ForwardTask
from deployments.openvino.build import build_model
from deployments.openvino.manifest import Manifest, make_build, versions
from deployments.registry import task_of

MAX_S = 600.0  # for a model; torch computes one whose export takes longer
POLL_S = 0.1
AT_ONCE = 4  # models, at most; each takes one core, and a few times the memory of its weights


@dataclass(slots=True)
class Running:
    """A model that is being built."""

    config: ModelConfig
    began: float
    is_late: bool = False


def main() -> None:
    configs = [ModelConfig.model_validate(config) for config in json.load(sys.stdin)]
    import torch
    import transformers.generation.utils
    import transformers.modeling_utils  # noqa: F401

    torch.set_num_threads(1)
    if sys.platform != "linux":  # elsewhere, a fork of a process that has imported torch is not safe
        for config in configs:
            _tell(config, "building")
            _build(config)
        return
    places = min(AT_ONCE, len(os.sched_getaffinity(0)))
    running: dict[int, Running] = {}
    for config in configs:
        if len(running) == places:
            _await(running)
        _tell(config, "building")
        if (child := os.fork()) == 0:
            _build(config)
            os._exit(0)
        running[child] = Running(config, time.monotonic())
    while running:
        _await(running)


def _await(running: dict[int, Running]) -> None:
    """Wait until a model is built, or has taken too long."""
    child, status = os.waitpid(-1, os.WNOHANG)
    while not child:
        time.sleep(POLL_S)
        for process, each in running.items():
            if not each.is_late and time.monotonic() > each.began + MAX_S:
                each.is_late = True
                os.kill(process, signal.SIGKILL)
        child, status = os.waitpid(-1, os.WNOHANG)
    ended = running.pop(child)
    config = ended.config
    if ended.is_late:
        reason = f"its export took longer than {MAX_S / 60:.0f} minutes"
        make_build(config, task_of(config), lambda folder: Manifest(refused=reason, versions=versions()))
        _tell(config, "refused", detail=reason)
    elif (code := os.waitstatus_to_exitcode(status)) != 0:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        _tell(config, "failed", detail=f"the process that built it {how}")


def _build(config: ModelConfig) -> None:
    kind: Any = task_of(config)
    assert issubclass(kind, ForwardTask)

    def fill(folder: Any) -> Manifest:
        in_float32 = config.model_copy(update={"dtype": "float32"})
        return build_model(kind(kind.load_checkpoint(in_float32)), folder, config.dtype)

    try:
        manifest = make_build(config, kind, fill).manifest
    except LoadError as error:
        _tell(config, "failed", detail=str(error))
    except Exception as error:  # a model may fail in any way, and is then not built
        _tell(config, "failed", detail=f"{type(error).__name__}: {error}")
    else:
        _tell(config, "refused" if manifest.refused else "built", detail=manifest.refused)


def _tell(config: ModelConfig, state: str, detail: str = "") -> None:
    print(json.dumps({"model": config.name, "state": state, "detail": detail}), flush=True)


if __name__ == "__main__":
    main()
