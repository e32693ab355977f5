"""Late interaction: vectors and scores are those of sentence-transformers' MultiVectorEncoder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.config import ModelConfig, Pooling
from deployments.errors import InvalidInput, LoadError
from deployments.registry import task_of
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.tasks.feature_extraction_late_interaction import LateInteractionFeatureExtraction
from tests.late_interaction_checkpoints import DOCUMENTS, FORMS, QUERIES, VALUES, dense, multi_vector
from tests.serving import answer, answers_over_http, replica_of

EXPECTED = json.loads(VALUES.read_text())


def config_of(folder: Path, **configured: Any) -> ModelConfig:
    return ModelConfig(model=str(folder), name="small", **configured)


@pytest.mark.parametrize("name", FORMS)
def test_vectors_and_scores_are_those_of_sentence_transformers(tmp_path: Path, name: str) -> None:
    FORMS[name](tmp_path)
    assert task_of(config_of(tmp_path)) is LateInteractionFeatureExtraction
    replica = replica_of(tmp_path)
    queries = [{"inputs": text, "prompt_name": "query"} for text in QUERIES]
    compared = [{"inputs": {"source_sentence": text, "sentences": DOCUMENTS}} for text in QUERIES]
    found = answers_over_http(replica, [*queries, *({"inputs": text} for text in DOCUMENTS), *compared])
    replica.stop()
    expected = EXPECTED[name]
    for (vectors,), others in zip(found[:5], [*expected["queries"], *expected["documents"]], strict=True):
        np.testing.assert_allclose(vectors, others, atol=1e-4)
    np.testing.assert_allclose(found[5:], expected["scores"], atol=1e-4)


def test_every_form_has_values() -> None:
    assert EXPECTED.keys() == FORMS.keys()


def test_tokens_to_which_nothing_attends_are_packed(tmp_path: Path) -> None:
    FORMS["native, expanded"](tmp_path)
    replica = replica_of(tmp_path)
    assert replica.description["layout"] == "packed"
    assert replica.description["recorded"]
    row = replica.task.preprocess(replica.task.sized_example(1)).rows[0]
    assert row.attended is not None
    assert row.attended < row.length == 20


def test_requests(tmp_path: Path) -> None:
    FORMS["PyLate"](tmp_path)
    replica = replica_of(tmp_path)
    ids = replica.task.tokenizer("[D] Two!")["input_ids"]
    np.testing.assert_allclose(answer(replica, inputs=ids)[0], EXPECTED["PyLate"]["documents"][2], atol=1e-4)
    with pytest.raises(ValueError, match="query"):
        answer(replica, inputs="One", prompt_name="passage")
    with pytest.raises(InvalidInput, match=r"inputs has \d+ tokens; the model reads at most 24"):
        answer(replica, inputs=DOCUMENTS[0] * 9, truncate=False)
    with pytest.raises(InvalidInput, match=r"inputs\[2\]: inputs is empty"):
        answer(replica, inputs={"source_sentence": "a", "sentences": ["b", ""]})


def test_a_configured_pooling_goes_first(tmp_path: Path) -> None:
    FORMS["PyLate"](tmp_path)
    assert task_of(config_of(tmp_path, pooling=Pooling(mode="mean"))) is FeatureExtraction
    assert np.shape(answer(replica_of(tmp_path, pooling={"mode": "mean"}), inputs="One")) == (1, 32)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            multi_vector(dense(), ("MultiVectorMask", {"keep_only_token_ids": [3]}), model_type="MultiVectorEncoder"),
            "keep",
        ),
        (multi_vector(dense(), ("Unknown", {}), model_type="MultiVectorEncoder"), "requires Unknown for late"),
        (
            multi_vector(dense(), model_type="ColBERT", query_expansion={"strategy": "most", "length": 3}),
            "expands queries by",
        ),
        (
            multi_vector(
                dense(),
                model_type="MultiVectorEncoder",
                transformer={"query_expansion": {"strategy": "min", "length": 9, "token": "[NONE]"}},
            ),
            r"queries are expanded by \[NONE\]",
        ),
    ],
)
def test_what_is_not_served_is_refused(tmp_path: Path, form: Any, message: str) -> None:
    form(tmp_path)
    with pytest.raises(LoadError, match=message):
        replica_of(tmp_path)
