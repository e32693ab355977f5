"""The process that builds models. It imports torch once, and forks for each model.

    python -m serve.cli.build.process < configurations

Reads a JSON list of model configurations from its input, and writes a line of JSON for each event. A model that crashes
its process, or takes all the memory, does not end the others.
"""

import json
import os
import sys
from typing import Any

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.layouts.task import ForwardTask
from deployments.openvino.build import build_model
from deployments.openvino.manifest import Manifest, make_build
from deployments.registry import task_of

AT_ONCE = 4  # models, at most; each takes one core, and a few times the memory of its weights


def main() -> None:
    configs = [ModelConfig.model_validate(config) for config in json.load(sys.stdin)]
    import torch
    import transformers.generation.utils
    import transformers.modeling_utils  # noqa: F401

    torch.set_num_threads(1)
    if not hasattr(os, "fork"):
        for config in configs:
            _tell(config, "building")
            _build(config)
        return
    places = max(1, min(AT_ONCE, len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1))
    running: dict[int, ModelConfig] = {}
    for config in configs:
        if len(running) == places:
            _await(running)
        _tell(config, "building")
        if (child := os.fork()) == 0:
            _build(config)
            os._exit(0)
        running[child] = config
    while running:
        _await(running)


def _await(running: dict[int, ModelConfig]) -> None:
    child, status = os.wait()
    config = running.pop(child)
    if (code := os.waitstatus_to_exitcode(status)) != 0:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        _tell(config, "failed", detail=f"the process that built it {how}")


def _build(config: ModelConfig) -> None:
    kind: Any = task_of(config)
    assert issubclass(kind, ForwardTask)

    def fill(folder: Any) -> Manifest:
        return build_model(kind(kind.load_checkpoint(config)), folder)

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
