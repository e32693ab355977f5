"""`automodel-serve plan`, on real models in processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deployments.config import ModelConfig
from deployments.replica.footprint import Footprint
from serve.cli.main import app
from serve.cli.plan import command
from serve.routes import Route
from tests.checkpoints import small_checkpoint


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    small_checkpoint(folder / "small", "bert", "SequenceClassification")
    text = "models:\n  - {model: small, name: small, resources: {num_cpus: 1}, replicas: {min: 2, max: 2}}\n"
    (folder / "service.yaml").write_text(text, encoding="utf-8")
    return folder / "service.yaml"


@pytest.fixture(scope="module", autouse=True)
def measured_once() -> Iterator[None]:
    """A model's footprint is the same for every plan, and takes a process that loads torch."""
    made: dict[str, Footprint] = {}

    def once(model: ModelConfig, route: Route) -> Footprint:
        if model.name not in made:
            made[model.name] = measure(model, route)
        return made[model.name]

    measure = command.footprint_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "footprint_of", once)
        yield


def run(config: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["plan", str(config), *options], env={"COLUMNS": "120"})


def test_a_plan_that_fits(config: Path) -> None:
    result = run(config, "--worker-gpus", "1")
    assert result.exit_code == 0, result.output
    (row,) = [line.split() for line in result.output.splitlines() if line.startswith("small")]
    *_, memory_gib, share, per_worker = row
    assert 0.25 <= float(memory_gib) <= 4  # Python and torch, and next to nothing of a model
    assert share == "~0.1"  # 1.5 GiB of 24 and a fifth more
    assert int(per_worker) == min(4, int(16 / float(memory_gib)))
    assert "2 replicas fit on 1 of 1 worker" in result.output


def test_a_plan_that_does_not(config: Path) -> None:
    result = run(config, "--worker-cpus", "1")
    assert result.exit_code == 1
    assert "the models need 2 such workers, but there is 1" in result.output


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    small_checkpoint(tmp_path / "small", "bert", "SequenceClassification")
    (tmp_path / "small" / "model.safetensors").write_bytes(b"no weights")
    (tmp_path / "service.yaml").write_text("models:\n  - {model: small, name: broken}\n", encoding="utf-8")
    result = run(tmp_path / "service.yaml")
    assert result.exit_code == 1
    assert "error: broken: " in result.output
    assert "Traceback" not in result.output
