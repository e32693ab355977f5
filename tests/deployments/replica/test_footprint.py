"""What a replica takes, measured by loading it."""

import subprocess
import sys
from pathlib import Path

import pytest

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.openvino.build import build_model
from deployments.openvino.manifest import make_build
from deployments.registry import find_task
from deployments.replica.footprint import measure
from tests.checkpoints import load_task, small_checkpoint

KIND = find_task("text-classification")


def test_a_small_model(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = small_checkpoint(tmp_path / "small", "bert", "SequenceClassification")
    took = measure(ModelConfig(model=str(folder), name="small"), KIND)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert took.parameters == model.num_parameters()
    assert took.weights_bytes >= 4 * took.parameters
    assert took.weights_bytes < 4 * took.parameters + 2**20  # buffers: positions
    assert took.memory_bytes > 50 * 2**20  # this process has torch
    assert (took.gpu_bytes, took.device, took.dtype) == (None, "cpu", "float32")
    assert took.load_s > 0


def test_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMODEL_SERVE_CACHE", str(tmp_path / "cache"))
    folder = small_checkpoint(tmp_path / "small", "bert", "SequenceClassification")
    config = ModelConfig(model=str(folder), name="small")
    task = load_task(KIND, folder, None)
    make_build(config, KIND, lambda into: build_model(task, into))
    took = measure(config, KIND)
    assert took.parameters is None
    assert took.weights_bytes > 0


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(LoadError):
        measure(ModelConfig(model=str(tmp_path), name="nothing"), KIND)


def test_the_process_that_started_it_is_no_part_of_its_memory() -> None:
    """As a child of a large process has it: `ru_maxrss` would tell the size of the parent."""
    child = "from deployments.replica.footprint import _peak_bytes; print(_peak_bytes())"
    parent = (
        f"import subprocess, sys; large = bytearray(b'1' * 10**9); subprocess.run([sys.executable, '-c', {child!r}])"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 0.7 * 10**9
