"""Which backend computes a model, and what says why."""

from pathlib import Path
from typing import Any

import pytest

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.openvino import manifest
from deployments.openvino.backend import choose_backend, require_backend
from deployments.openvino.manifest import Manifest, make_build, versions
from deployments.tasks.text2text_generation import Text2TextGeneration
from deployments.tasks.text_classification import TextClassification
from deployments.tasks.text_generation import TextGeneration

NOT_BUILT = "it has no build on this machine (automodel-serve build)"


@pytest.fixture(autouse=True)
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOMODEL_SERVE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    return folder


@pytest.mark.parametrize(
    ("settings", "kind", "reason"),
    [
        ({}, TextClassification, NOT_BUILT),
        ({"backend": "torch"}, TextClassification, "it is configured"),
        ({"dtype": "float16"}, TextClassification, "its dtype is float16"),
        ({"device": "cuda"}, TextClassification, "it runs on a GPU"),
        ({"resources": {"num_gpus": 1}}, TextClassification, "it runs on a GPU"),
        ({}, TextGeneration, NOT_BUILT),
        ({"generation": {"engine": "static"}}, TextGeneration, "generation.engine is static"),
        ({}, Text2TextGeneration, "only decoders of text are exported"),
    ],
)
def test_torch_and_why(checkpoint: Path, settings: dict[str, Any], kind: Any, reason: str) -> None:
    chosen = choose_backend(ModelConfig.model_validate({"model": str(checkpoint), **settings}), kind)
    assert chosen.build is None
    assert chosen.reason == reason
    assert chosen.description == {"backend": "torch", "backend_reason": reason}


def test_a_build_that_says_no(checkpoint: Path) -> None:
    config = ModelConfig(model=str(checkpoint))
    make_build(config, TextClassification, lambda folder: Manifest(refused="outputs differ", versions=versions()))
    assert choose_backend(config, TextClassification).reason == "outputs differ"


def test_openvino_as_configured_and_impossible(checkpoint: Path) -> None:
    config = ModelConfig(model=str(checkpoint), name="small", backend="openvino")
    with pytest.raises(LoadError, match="small: backend: openvino cannot compute it: it has no build"):
        choose_backend(config, TextClassification)


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    version = manifest._version
    monkeypatch.setattr(manifest, "_version", lambda package: None if package == "torch" else version(package))


def test_a_machine_without_torch(checkpoint: Path, no_torch: None) -> None:
    """What has a build is served; all else is refused before anything starts, with the reason."""
    config = ModelConfig(model=str(checkpoint), name="small")
    needed = "small: torch would have to compute it, and is not installed here"
    with pytest.raises(LoadError, match=f"{needed}: it has no build on this machine"):
        require_backend(config, TextClassification)
    with pytest.raises(LoadError, match=f"{needed}: torch samples its tokens"):
        require_backend(config, TextGeneration)
    with pytest.raises(LoadError, match=f"{needed}: it is configured"):
        require_backend(config.model_copy(update={"backend": "torch"}), TextClassification)
    made = make_build(config, TextClassification, lambda folder: Manifest(layout="packed", versions=versions()))
    require_backend(config, TextClassification)
    assert choose_backend(config, TextClassification).build == made


def test_what_can_still_be_built_is_not_refused(checkpoint: Path) -> None:
    int8 = ModelConfig(model=str(checkpoint), name="small", dtype="int8")
    require_backend(int8, TextClassification)
    require_backend(int8, TextGeneration)
    with pytest.raises(
        LoadError,
        match="small: dtype: int8 cannot compute it: only decoders of text are exported",
    ):
        require_backend(int8, Text2TextGeneration)
