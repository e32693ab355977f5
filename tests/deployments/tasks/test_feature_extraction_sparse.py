"""SPLADE: vectors are those of sentence-transformers' SparseEncoder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.config import ModelConfig, Pooling
from deployments.errors import InvalidInput, LoadError
from deployments.registry import task_of
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.tasks.feature_extraction_sparse import SparseFeatureExtraction
from deployments.text import splade
from tests.checkpoints import small_checkpoint
from tests.embedding_checkpoints import write_modules
from tests.serving import answer, answers_over_http, replica_of
from tests.sparse_checkpoints import FORMS, TEXTS, VECTORS

EXPECTED = json.loads(VECTORS.read_text())


def config_of(folder: Path, **configured: Any) -> ModelConfig:
    return ModelConfig(model=str(folder), name="small", **configured)


def assert_same(vector: list[dict[str, Any]], expected: dict[str, float]) -> None:
    indices = [entry["index"] for entry in vector]
    assert indices == sorted(indices)
    ours = {entry["index"]: entry["value"] for entry in vector}
    theirs = {int(index): value for index, value in expected.items()}
    for index in ours.keys() | theirs.keys():
        assert ours.get(index, 0) == pytest.approx(theirs.get(index, 0), abs=1e-4)


@pytest.mark.parametrize("name", FORMS)
def test_vectors_are_those_of_sentence_transformers(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the logits of three tokens are computed at a time."""
    FORMS[name](tmp_path)
    assert task_of(config_of(tmp_path)) is SparseFeatureExtraction
    replica = replica_of(tmp_path)
    for logits in (splade.LOGITS, 3 * replica.task.width):
        monkeypatch.setattr(splade, "LOGITS", logits)
        together = answers_over_http(replica, [{"inputs": text} for text in TEXTS])
        for (vector,), expected in zip(together, EXPECTED[name], strict=True):
            assert_same(vector, expected)
    replica.stop()


def test_every_form_has_vectors() -> None:
    assert EXPECTED.keys() == FORMS.keys()


def test_the_logits_of_all_tokens_are_never_there(tmp_path: Path) -> None:
    """The model itself gives hidden states, where its last layer can be taken out."""
    FORMS["max"](tmp_path)
    replica = replica_of(tmp_path)
    ids = replica.task.tokenizer(TEXTS[1])["input_ids"]
    assert_same(answer(replica, inputs=[ids])[0], EXPECTED["max"][1])
    rows = replica.task.preprocess(replica.task.sized_example(9)).rows
    assert replica.task.run(rows).output.logits.shape[-1] == 32 < replica.task.width


def test_a_masked_language_model_by_configuration(tmp_path: Path) -> None:
    small_checkpoint(tmp_path, "bert", "MaskedLM")
    assert task_of(config_of(tmp_path)).name == "fill-mask"
    assert task_of(config_of(tmp_path, pooling=Pooling(mode="splade"))) is SparseFeatureExtraction
    replica = replica_of(tmp_path, pooling={"mode": "splade"})
    assert_same(answer(replica, inputs=TEXTS[0])[0], EXPECTED["max"][0])


def test_the_transformer_of_a_sparse_encoder_can_be_pooled_otherwise(tmp_path: Path) -> None:
    FORMS["max"](tmp_path)
    assert task_of(config_of(tmp_path, pooling=Pooling(mode="mean"))) is FeatureExtraction
    assert np.shape(answer(replica_of(tmp_path, pooling={"mode": "mean"}), inputs="One")) == (1, 32)


def test_options_of_dense_vectors_are_refused(tmp_path: Path) -> None:
    FORMS["max"](tmp_path)
    with pytest.raises(ValueError, match="dimensions"):
        answer(replica_of(tmp_path), inputs="One", dimensions=8)
    with pytest.raises(InvalidInput, match="inputs is empty"):
        answer(replica_of(tmp_path), inputs="")


@pytest.mark.parametrize(
    ("modules", "pooling", "message"),
    [
        (["Router"], {}, "has modules in the order Router, which is not supported; set `pooling"),
        (["Transformer", "Pooling", "SparseAutoEncoder"], {}, "order Transformer, Pooling, SparseAutoEncoder"),
        (["MLMTransformer", "SpladePooling"], {"pooling_strategy": "mean"}, "requires the pooling mean with relu"),
    ],
)
def test_what_is_not_served_is_refused(tmp_path: Path, modules: list[str], pooling: Any, message: str) -> None:
    FORMS["max"](tmp_path)
    write_modules(tmp_path, [(kind, pooling) for kind in modules])
    with pytest.raises(LoadError, match=message):
        replica_of(tmp_path)
