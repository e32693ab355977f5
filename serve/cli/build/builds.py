"""Makes the builds that models lack, in a process of its own, and shows its progress."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.openvino.backend import torch_computes, unbuildable
from deployments.openvino.manifest import find_build, is_installed
from deployments.registry import task_of

PROCESS = "serve.cli.build.process"

Event = Callable[[str, str, str], None]  # of a model: its name, its state, and details


def unbuilt(models: Sequence[ModelConfig]) -> list[ModelConfig]:
    """The models that can be built and are not. One whose checkpoint cannot be read is left to its replica, which tells
    what is wrong with it."""
    return [model for model in models if _lacks_build(model)]


def make_builds(console: Console, models: Sequence[ModelConfig]) -> dict[str, str]:
    """Build models, with a line for each on a terminal; those that failed, with the reason.

    A model without a build is served by torch, if that may compute it.
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    failed: dict[str, str] = {}
    by_name = {model.name: model for model in models}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[state]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:
        lines = {model.name: progress.add_task(model.name, state="waits", total=1) for model in models}

        def show(name: str, state: str, detail: str) -> None:
            words = _words(state, by_name[name])
            progress.update(lines[name], state=words, completed=0 if state == "building" else 1)
            if not console.is_terminal:
                console.print(f"{name}: {words}", style=None)
            if state == "failed":
                failed[name] = detail

        _run(models, show)
    return failed


def unserved_without_build(models: Sequence[ModelConfig], failed: dict[str, str]) -> dict[str, str]:
    """The models that nothing serves, since their builds failed and torch may not compute them; with the reason."""
    return {model.name: failed[model.name] for model in models if model.name in failed and not torch_computes(model)}


def _words(state: str, model: ModelConfig) -> str:
    without = "torch computes it" if torch_computes(model) else "it cannot be served"
    return {
        "building": "is exported for OpenVINO (once)",
        "built": "built",
        "refused": without,
        "failed": f"could not be exported; {without}",
    }[state]


def _lacks_build(model: ModelConfig) -> bool:
    try:
        kind = task_of(model)
        return is_installed("torch") and unbuildable(model, kind) is None and find_build(model, kind) is None
    except LoadError:
        return False


def _run(models: Sequence[ModelConfig], event: Event) -> None:
    configs: list[dict[str, Any]] = [model.model_dump(mode="json") for model in models]
    command = [sys.executable, "-m", PROCESS]
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        json.dump(configs, process.stdin)
        process.stdin.close()
        ended = set()
        for line in process.stdout:
            if not line.startswith('{"model"'):
                continue  # of a library
            told = json.loads(line)
            event(told["model"], told["state"], told["detail"])
            if told["state"] != "building":
                ended.add(told["model"])
        complaints.seek(0)
        reason = complaints.read().strip().splitlines()[-1:] or ["it gives no reason"]
    for model in models:
        if model.name not in ended:
            event(model.name, "failed", f"the process that builds models has ended: {reason[0]}")
