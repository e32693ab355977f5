"""The slim image's service: without torch, builds answer, and what needs torch is refused at the start."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployments.checkpoints.files import resolve
from deployments.config import ModelConfig
from deployments.layouts.task import ForwardTask
from deployments.openvino.backend import choose_backend
from deployments.registry import task_of
from deployments.zoo.package import PackageUnavailable
from serve.config.service import embedded_config
from tests.environment_without_torch import environment_without_torch
from tests.service.running import RunningService
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.skipif(sys.platform != "linux", reason="its scripts are those of Linux")]

BUILD = [sys.executable, "-m", "serve.cli.main", "build"]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(environment_without_torch(tmp_path_factory.mktemp("slim") / "venv"))


def config_of(folder: Path, models: list[ModelConfig]) -> Path:
    file = folder / "service.yaml"
    chosen: list[dict[str, Any]] = [model.model_dump(include={"model", "name", "task"}) for model in models]
    file.write_text(yaml.safe_dump({"models": chosen}))
    return file


def test_all_tasks_of_one_forward(python: str, tmp_path: Path) -> None:
    models = [model for model in embedded_config().models if issubclass(task_of(model), ForwardTask)]
    try:
        for model in models:
            resolve(model.model)
    except PackageUnavailable as error:
        pytest.skip(f"an embedded model cannot be built here: {error}")
    file = config_of(tmp_path, models)
    subprocess.run([*BUILD, str(file)], check=True, capture_output=True)
    assert all(choose_backend(model, task_of(model)).build for model in models)
    assert subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 1
    with RunningService(str(file), "--strict", log=tmp_path / "log", python=python) as running:
        tasks = set()
        for model in models:
            kind = task_of(model)
            tasks.add(kind.name)
            path = f"{running.url}/tasks/{kind.name}"
            assert httpx.get(path, timeout=PATIENCE_S).json()["backend"] == "openvino"
            answer = httpx.post(path, json=kind.example, timeout=PATIENCE_S)
            assert answer.status_code == 200, answer.text
        assert len(tasks) == 9


def test_what_needs_torch_is_refused(python: str, tmp_path: Path) -> None:
    """By name and reason, before Ray starts."""
    models = [model for model in embedded_config().models if not issubclass(task_of(model), ForwardTask)][:1]
    try:
        resolve(models[0].model)
    except PackageUnavailable as error:
        pytest.skip(f"an embedded model cannot be built here: {error}")
    command = [python, "-m", "serve.cli.main", "up", str(config_of(tmp_path, models)), "--strict"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 1
    said = " ".join((done.stdout + done.stderr).split())
    assert f"{models[0].name}: torch would have to compute it, and is not installed here" in said
    assert "only decoders of text are exported" in said
