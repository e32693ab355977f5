"""Checkpoints of sentence-transformers: their vectors are those that it computes, and what is not served is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.config import ModelConfig, Pooling
from deployments.errors import InvalidInput, LoadError
from deployments.registry import task_of
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.text.sentence_transformers import Embedding, read_embedding
from tests.checkpoints import small_checkpoint
from tests.embedding_checkpoints import (
    FORMS,
    SIMILAR,
    SIMILARITIES,
    TEXTS,
    VECTORS,
    dense,
    form,
    pooling,
    write_modules,
)
from tests.serving import answer, answers_over_http, replica_of

EXPECTED = json.loads(VECTORS.read_text())
MEAN = pooling(pooling_mode="mean")
NORMALIZE: tuple[str, Any] = ("Normalize", {})


def config_of(folder: Path, **configured: Any) -> ModelConfig:
    return ModelConfig(model=str(folder), name="small", **configured)


@pytest.mark.parametrize("name", FORMS)
def test_vectors_are_those_of_sentence_transformers(tmp_path: Path, name: str) -> None:
    FORMS[name](tmp_path)
    assert task_of(config_of(tmp_path)) is FeatureExtraction
    replica = replica_of(tmp_path)
    together = [vectors[0] for vectors in answers_over_http(replica, [{"inputs": text} for text in TEXTS])]
    np.testing.assert_allclose(together, EXPECTED[name], atol=1e-4)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_similarities_are_those_of_sentence_transformers(tmp_path: Path, name: str) -> None:
    SIMILARITIES[name](tmp_path)
    replica = replica_of(tmp_path)
    inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
    (expected,) = json.loads(SIMILAR.read_text())[name]
    np.testing.assert_allclose(answer(replica, inputs=inputs), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(InvalidInput, match="similarity needs one vector per text"):
        answer(replica, inputs=inputs, pooling="none")
    with pytest.raises(InvalidInput, match="similarities are numbers"):
        answer(replica, inputs=inputs, encoding_format="base64")
    with pytest.raises(InvalidInput, match=r"inputs\[1\]: inputs is empty"):
        answer(replica, inputs={"source_sentence": "a", "sentences": [""]})


def test_an_unknown_similarity_is_refused(tmp_path: Path) -> None:
    form(MEAN, files={"config_sentence_transformers.json": {"similarity_fn_name": "hamming"}})(tmp_path)
    with pytest.raises(LoadError, match="'hamming' is not supported; there are cosine, dot"):
        replica_of(tmp_path)


def test_every_form_has_vectors() -> None:
    assert EXPECTED.keys() == FORMS.keys()


def test_a_transformer_alone_gives_hidden_states(tmp_path: Path) -> None:
    write_modules(tmp_path, [("Transformer", {})])
    assert read_embedding(config_of(tmp_path)) == Embedding()


def test_a_checkpoint_without_files_has_no_pooling(tmp_path: Path) -> None:
    assert read_embedding(config_of(tmp_path)) == Embedding()


def test_configured_pooling_goes_first_and_none_means_hidden_states(tmp_path: Path) -> None:
    form(MEAN, dense(32, 16), NORMALIZE)(tmp_path)
    last = Pooling(mode=("last", "cls"))
    assert read_embedding(config_of(tmp_path, pooling=last)) == Embedding(pooling=last)
    assert read_embedding(config_of(tmp_path, pooling=Pooling(mode="none"))).pooling is None


def test_a_pooling_cannot_be_overridden_before_layers(tmp_path: Path) -> None:
    form(MEAN, dense(32, 16))(tmp_path)
    replica = replica_of(tmp_path)
    with pytest.raises(InvalidInput, match="layers after its pooling take no other"):
        answer(replica, inputs="One", pooling="cls")
    states = answer(replica, inputs="One", pooling="none")
    assert len(states[0]) == 32


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([("WordEmbeddings", {}), MEAN], "requires WordEmbeddings, which is not supported; set `pooling`"),
        ([("Transformer", {}), dense(32, 32), MEAN], "has modules in the order Transformer, Dense, Pooling"),
        ([("Transformer", {}), pooling(pooling_mode="median")], "requires pooling by median"),
        (
            [("Transformer", {}), MEAN, ("Dense", dense(32, 8)[1] | {"module_input_name": "token_embeddings"})],
            "requires a Dense layer for token_embeddings",
        ),
        ([("Transformer", {}), MEAN, dense(32, 8)], "requires weights in 2_Dense, which are missing"),
    ],
)
def test_modules_that_are_not_served_are_refused(tmp_path: Path, modules: Any, message: str) -> None:
    write_modules(tmp_path, modules)
    with pytest.raises(LoadError, match=message):
        read_embedding(config_of(tmp_path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_modules(tmp_path, [("Transformer", {}), MEAN])
    (tmp_path / "1_Pooling/config.json").unlink()
    with pytest.raises(LoadError, match="requires 1_Pooling/config.json, which is missing"):
        read_embedding(config_of(tmp_path))


def test_an_activation_is_one_of_torchs(tmp_path: Path) -> None:
    form(MEAN, dense(32, 8, "os.system"))(tmp_path)
    with pytest.raises(LoadError, match=r"requires the activation os\.system"):
        read_embedding(config_of(tmp_path))


@pytest.mark.parametrize(
    ("settings", "modules", "message"),
    [
        ({"model_type": "Novel"}, ["Transformer", "Novelty"], "sentence-transformers' Novel is not supported"),
        ({}, ["StaticEmbedding", "Normalize"], "its vectors are a table of words"),
    ],
)
def test_what_is_no_embedding_model_is_not_taken_for_its_architecture(
    tmp_path: Path, settings: Any, modules: list[str], message: str
) -> None:
    small_checkpoint(tmp_path, "bert", "MaskedLM")
    write_modules(tmp_path, [(kind, {}) for kind in modules])
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(settings))
    with pytest.raises(LoadError, match=message):
        task_of(config_of(tmp_path))
    assert task_of(config_of(tmp_path, task="fill-mask")).name == "fill-mask"


def test_a_table_of_words_without_a_model_is_refused(tmp_path: Path) -> None:
    write_modules(tmp_path, [("StaticEmbedding", {})], inner="0_StaticEmbedding")
    with pytest.raises(
        LoadError, match="no config.json found; its first module, StaticEmbedding, is no model of trans"
    ):
        task_of(config_of(tmp_path))


def test_a_cross_encoder_is_a_classifier(tmp_path: Path) -> None:
    small_checkpoint(tmp_path, "bert", "SequenceClassification", num_labels=1)
    write_modules(tmp_path, [("Transformer", {})])
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "CrossEncoder"}))
    assert task_of(config_of(tmp_path)).name == "text-classification"
