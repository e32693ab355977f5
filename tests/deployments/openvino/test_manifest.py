"""Builds in the cache: what names them, and what is not taken for one."""

import json
from pathlib import Path

import pytest

from deployments.checkpoints.facts import Frames, ModelFacts
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.openvino import manifest
from deployments.openvino.manifest import GRAPH, MANIFEST, REFERENCE, Manifest, build_folder, find_build, make_build
from deployments.openvino.manifest import versions as versions_now
from deployments.tasks.text_classification import TextClassification
from deployments.tasks.token_classification import TokenClassification

FACTS = ModelFacts("BertModel", "input_ids", ("input_ids", "attention_mask"), 30, 0, 1000, Frames(320, -80))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOMODEL_SERVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def config(tmp_path: Path) -> ModelConfig:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return ModelConfig(model=str(folder), name="small")


def fill(folder: Path) -> Manifest:
    for name in (GRAPH, "model.bin", REFERENCE):
        (folder / name).write_bytes(b"content")
    return Manifest(layout="packed", difference=1e-6, facts=FACTS, versions=versions_now())


def test_a_build_is_found_as_it_was_made(config: ModelConfig) -> None:
    assert find_build(config, TextClassification) is None
    made = make_build(config, TextClassification, fill)
    found = find_build(config, TextClassification)
    assert found == made
    assert found is not None
    assert found.manifest.facts == FACTS


def test_what_went_into_it_names_it(config: ModelConfig, tmp_path: Path) -> None:
    before = build_folder(config, TextClassification)
    assert build_folder(config, TokenClassification) != before
    assert build_folder(config.model_copy(update={"max_length": 64}), TextClassification) != before
    assert build_folder(config.model_copy(update={"replicas": {"max": 3}}), TextClassification) == before
    weights = tmp_path / "checkpoint" / "model.safetensors"
    weights.write_bytes(b"changed")
    assert build_folder(config, TextClassification) != before
    weights.write_bytes(b"weights")
    assert build_folder(config, TextClassification) == before


def test_a_failed_build_leaves_nothing(config: ModelConfig, cache: Path) -> None:
    def fail(folder: Path) -> Manifest:
        (folder / GRAPH).write_bytes(b"half")
        raise LoadError("no weights")

    with pytest.raises(LoadError, match="no weights"):
        make_build(config, TextClassification, fail)
    assert not [*(cache / "builds").iterdir()]


def test_two_at_once(config: ModelConfig, cache: Path) -> None:
    """The first to finish stays; the other one has the same build."""

    def slow(folder: Path) -> Manifest:
        first = make_build(config, TextClassification, fill)
        assert first.manifest.layout == "packed"
        return fill(folder)

    made = make_build(config, TextClassification, slow)
    assert [*(cache / "builds").iterdir()] == [made.folder]


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"format": 0}', '{"format": 2, "facts": null, "unknown": 1}', '{"format": 2, "facts": 3}'],
    ids=len,
)
def test_a_damaged_or_foreign_folder_is_built_anew(config: ModelConfig, content: str) -> None:
    made = make_build(config, TextClassification, fill)
    (made.folder / MANIFEST).write_text(content)
    assert find_build(config, TextClassification) is None
    assert make_build(config, TextClassification, fill) == made


@pytest.mark.parametrize("name", [GRAPH, "model.bin", REFERENCE])
def test_a_file_that_is_missing_or_cut_short(config: ModelConfig, name: str) -> None:
    made = make_build(config, TextClassification, fill)
    (made.folder / name).write_bytes(b"content"[:3])
    assert find_build(config, TextClassification) is None
    (made.folder / name).unlink()
    assert find_build(config, TextClassification) is None


def test_another_torch_builds_anew_and_none_takes_what_there_is(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_build(config, TextClassification, fill)
    content = json.loads((made.folder / MANIFEST).read_text())
    content["versions"]["torch"] = "1.0"
    (made.folder / MANIFEST).write_text(json.dumps(content))
    assert find_build(config, TextClassification) is None
    version = manifest._version
    monkeypatch.setattr(manifest, "_version", lambda package: None if package == "torch" else version(package))
    assert find_build(config, TextClassification) is not None
