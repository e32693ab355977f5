"""`automodel-serve build`: a process of its own exports what has no build; the table says what each model runs on."""

from pathlib import Path

import pytest
import yaml
from rich.console import Console

from deployments.config import ModelConfig
from serve.cli.build.builds import make_builds, unbuilt, unserved_without_build
from serve.config.file import read_config_file
from tests.checkpoints import small_checkpoint
from tests.command_line import run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOMODEL_SERVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    small_checkpoint(tmp_path / "judge", "bert", "SequenceClassification")
    return tmp_path


def config_of(folder: Path, *models: dict[str, object]) -> Path:
    file = folder / "service.yaml"
    file.write_text(yaml.safe_dump({"models": list(models)}))
    return file


def test_models_are_built_once(folder: Path) -> None:
    small_checkpoint(folder / "broken", "bert", "SequenceClassification")
    (folder / "broken" / "model.safetensors").write_bytes(b"no weights")
    judge = {"model": str(folder / "judge"), "name": "judge"}
    file = config_of(
        folder,
        judge,
        {**judge, "name": "configured", "backend": "torch"},
        {"model": str(folder / "broken"), "name": "broken", "task": "text-classification"},
    )
    first = run("build", str(file))
    assert first.returncode == 1  # one could not be built
    told = " ".join(first.stdout.split())  # a long path folds its line
    assert "judge: is exported for OpenVINO (once)" in told
    assert "judge openvino packed; differs from torch by at most" in told
    assert "configured torch it is configured" in told
    assert "broken torch" in told
    assert "cannot be loaded as AutoModelForSequenceClassification" in told
    models = [ModelConfig.model_validate(judge)]
    assert not unbuilt(models)
    again = run("build", str(config_of(folder, judge)))
    assert again.returncode == 0
    assert "is exported" not in again.stdout
    pruned = run("build", str(config_of(folder, {**judge, "backend": "torch", "max_length": 64})), "--prune")
    assert pruned.returncode == 0
    assert "removed judge-" in pruned.stdout
    assert unbuilt(models) == models


def test_a_process_that_ends_leaves_the_models_to_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.cli.build.builds.PROCESS", "serve.cli.build.absent")
    models = [ModelConfig(model=str(folder / "judge"), name="judge")]
    failed = make_builds(Console(), models)
    assert failed.keys() == {"judge"}
    assert "No module named serve.cli.build.absent" in failed["judge"]


def test_a_dtype_that_only_a_build_computes(folder: Path) -> None:
    """Where it cannot be made, nothing serves the model, and the table says so."""
    (folder / "calibration.jsonl").write_text('"one text alone"\n')
    judge = {"model": "judge", "name": "judge", "dtype": "int8", "calibration": "calibration.jsonl"}
    file = config_of(folder, judge)
    done = run("build", str(file))
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert "judge: could not be exported; it cannot be served" in told
    assert "judge none" in told
    assert "calibration.jsonlhas1inputs;atleast8areneeded" in told.replace(" ", "")  # a long path folds its line
    (model,) = models = unbuilt(read_config_file(file).models)
    failed = {"judge": "too few inputs"}
    assert unserved_without_build(models, failed) == failed
    assert not unserved_without_build([model.model_copy(update={"dtype": None})], failed)
