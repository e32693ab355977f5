"""Checkpoints of sentence-transformers are compared with it, by what it answered when values were recorded."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from serve.cli.main import app
from serve.cli.parity import command, sentence_transformers
from serve.cli.parity.measurement import parity_of
from tests import embedding_checkpoints, late_interaction_checkpoints, reranker_checkpoints, sparse_checkpoints

DENSE = "two layers"
MADE = {
    "dense": (embedding_checkpoints, DENSE),
    "sparse": (sparse_checkpoints, "max"),
    "several": (late_interaction_checkpoints, "PyLate"),
    "pairs": (reranker_checkpoints, "template"),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parity")
    for name, (module, form) in MADE.items():
        (folder / name).mkdir()
        module.FORMS[form](folder / name)
    models = [{"model": f"./{name}", "name": name} for name in MADE]
    (folder / "service.yaml").write_text(json.dumps({"models": models}))
    return folder / "service.yaml"


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "in_own_process", parity_of)


def compared(config: Path, tmp_path: Path, model: str, inputs: list[str]) -> tuple[int, dict[str, Any]]:
    """The exit status, and what was found of a model with these inputs."""
    (tmp_path / "inputs.txt").write_text("\n".join(inputs))
    options = ["--models", model, "--inputs", str(tmp_path / "inputs.txt"), "--json", str(tmp_path / "found.json")]
    result = CliRunner().invoke(app, ["parity", str(config), *options])
    (found,) = json.loads((tmp_path / "found.json").read_text())
    return result.exit_code, found


@pytest.mark.parametrize("model", MADE)
def test_without_the_package_there_is_no_reference(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(sentence_transformers, "is_installed", lambda: False)
    status, found = compared(config, tmp_path, model, ["One"])
    assert (status, found["verdict"]) == (0, "no reference")
    assert "sentence-transformers" in found["reason"]


def recorded(file: Path, form: str) -> Any:
    return json.loads(file.read_text())[form]


class Dense:
    def __init__(self, *place: Any, **options: Any) -> None:
        self.shift = 0.0

    def encode(self, text: str) -> Any:
        vectors = recorded(embedding_checkpoints.VECTORS, DENSE)
        return np.array(vectors[embedding_checkpoints.TEXTS.index(text)]) + self.shift


class Shifted(Dense):
    def __init__(self, *place: Any, **options: Any) -> None:
        self.shift = 0.01


class Sparse(Dense):
    def encode(self, text: str, *, convert_to_sparse_tensor: bool = True) -> Any:
        import torch

        entries = recorded(sparse_checkpoints.VECTORS, "max")[sparse_checkpoints.TEXTS.index(text)]
        vector = torch.zeros(1000)
        for index, value in entries.items():
            vector[int(index)] = value
        return vector


class Several(Dense):
    def encode_document(self, text: str) -> Any:
        place = late_interaction_checkpoints.DOCUMENTS.index(text)
        return recorded(late_interaction_checkpoints.VALUES, "PyLate")["documents"][place]


class Pairs(Dense):
    def predict(self, pairs: Any) -> Any:
        places = [reranker_checkpoints.PAIRS.index(pair) for pair in pairs]
        return [recorded(reranker_checkpoints.SCORES, "template")[place] for place in places]


@pytest.mark.parametrize(
    ("model", "inputs", "reference", "verdict"),
    [
        ("dense", embedding_checkpoints.TEXTS, {"SentenceTransformer": Dense}, "equal"),
        ("dense", embedding_checkpoints.TEXTS, {"SentenceTransformer": Shifted}, "differs"),
        ("sparse", sparse_checkpoints.TEXTS, {"SparseEncoder": Sparse}, "equal"),
        ("several", late_interaction_checkpoints.DOCUMENTS, {"MultiVectorEncoder": Several}, "equal"),
        (
            "pairs",
            [json.dumps({"text": query, "text_pair": text}) for query, text in reranker_checkpoints.PAIRS],
            {"CrossEncoder": Pairs},
            "equal",
        ),
    ],
)
def test_with_the_package_it_is_the_reference(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    inputs: list[str],
    reference: dict[str, type],
    verdict: str,
) -> None:
    monkeypatch.setattr(sentence_transformers, "is_installed", lambda: True)
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(**reference))
    status, found = compared(config, tmp_path, model, inputs)
    assert (found["verdict"], status) == (verdict, int(verdict == "differs")), found
    assert found["inputs"] == len(inputs)
