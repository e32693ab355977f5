"""`automodel-serve parity` of a build in int8: differences are shown beside those of the build, and not judged."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.config import ModelConfig
from deployments.openvino import quantize
from deployments.openvino.build import build_model
from deployments.openvino.manifest import make_build
from deployments.tasks.text_classification import TextClassification
from serve.cli.main import app
from serve.cli.parity import command
from serve.cli.parity.measurement import RUNS, parity_of
from tests.checkpoints import load_task, small_checkpoint

pytestmark = pytest.mark.skipif(not quantize.is_available(), reason="NNCF is not installed")


def test_what_int8_changes_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMODEL_SERVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(command, "in_own_process", parity_of)
    small_checkpoint(tmp_path / "judge", "bert", "SequenceClassification", num_labels=4)
    config = ModelConfig(model=str(tmp_path / "judge"), name="judge", dtype="int8")
    task = load_task(TextClassification, tmp_path / "judge", None)
    build = make_build(config, TextClassification, lambda folder: build_model(task, folder, "int8"))
    (tmp_path / "service.yaml").write_text("models: [{model: judge, name: judge, dtype: int8}]")
    result = CliRunner().invoke(app, ["parity", str(tmp_path / "service.yaml"), "--json", str(tmp_path / "found.json")])
    assert result.exit_code == 0, result.output
    (found,) = json.loads((tmp_path / "found.json").read_text())
    assert (found["verdict"], found["dtype"]) == ("measured", "int8")
    assert all(1e-6 < found["runs"][run]["difference"] < 0.5 for run in RUNS)
    assert build.manifest.agreement is not None
    assert found["build"]["largest_difference"] == build.manifest.agreement.largest_difference
    assert f"its build in int8 differs from torch in float32 {build.manifest.agreement}" in result.stderr
