"""Rerankers with LogitScore: their scores are those of sentence-transformers' CrossEncoder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.config import ModelConfig
from deployments.errors import InvalidInput, LoadError
from deployments.registry import task_of
from deployments.tasks.text_classification_causal import CausalReranker
from tests.reranker_checkpoints import FLAT, FORMS, PAIRS, SCORES, reranker
from tests.serving import answer, answers_over_http, replica_of

EXPECTED = json.loads(SCORES.read_text())
WITHOUT_ROLES = "{% for message in messages %}{{ message.role }}{% endfor %}"


def config_of(folder: Path, **configured: Any) -> ModelConfig:
    return ModelConfig(model=str(folder), name="small", **configured)


def pair(query: str, document: str) -> dict[str, str]:
    return {"text": query, "text_pair": document}


@pytest.mark.parametrize("name", FORMS)
def test_scores_are_those_of_sentence_transformers(tmp_path: Path, name: str) -> None:
    FORMS[name](tmp_path)
    assert task_of(config_of(tmp_path)) is CausalReranker
    replica = replica_of(tmp_path)
    together = answers_over_http(replica, [{"inputs": pair(*each)} for each in PAIRS])
    np.testing.assert_allclose([labels[0][0]["score"] for labels in together], EXPECTED[name], atol=1e-4)
    assert all(len(labels[0]) == 1 for labels in together)


def test_every_form_has_scores() -> None:
    assert EXPECTED.keys() == FORMS.keys()


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("reranker")
    FORMS["template"](folder)
    loaded = replica_of(folder)
    yield loaded
    loaded.stop()


def test_functions(replica: Any) -> None:
    raw, odds = (
        answer(replica, inputs=[pair(*PAIRS[0])], parameters={"function_to_apply": function})[0][0]["score"]
        for function in ("none", "sigmoid")
    )
    assert odds == pytest.approx(1 / (1 + np.exp(-raw)), abs=1e-6)
    assert odds == pytest.approx(EXPECTED["template"][0], abs=1e-4)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("a text", "this model scores pairs"),
        ({"text": "a"}, "this model scores pairs"),
        (pair("", "b"), "text is empty"),
        (pair("a", " "), "text_pair is empty"),
    ],
)
def test_what_is_no_pair_is_refused(replica: Any, inputs: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        answer(replica, inputs=inputs)


def test_a_long_pair_is_refused_or_cut(replica: Any) -> None:
    long = pair("a", "long " * 300)
    with pytest.raises(InvalidInput, match=r"inputs has \d+ tokens; the model reads at most 128"):
        answer(replica, inputs=long, parameters={"truncate": False})
    for side in ("left", "right"):
        assert answer(replica, inputs=long, parameters={"truncation_direction": side})


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (reranker(WITHOUT_ROLES, "flat"), "does not write the roles `query` and `document`"),
        (reranker("{{ raise_exception('no') }}", "flat"), "the chat template fails on a pair"),
        (reranker(FLAT, "flat", {"activation_fn": "torch.nn.Tanh"}), "activation torch.nn.Tanh is not supported"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, form: Any, message: str) -> None:
    form(tmp_path)
    with pytest.raises(LoadError, match=message):
        replica_of(tmp_path)


def test_a_template_may_reject_a_pair(tmp_path: Path) -> None:
    rejecting = "{% for message in messages if message.content == 'no' %}{{ raise_exception('never') }}{% endfor %}"
    reranker(rejecting + FLAT, "flat")(tmp_path)
    replica = replica_of(tmp_path)
    assert answer(replica, inputs=pair("yes", "b"))
    with pytest.raises(InvalidInput, match="the model's chat template rejects inputs: never"):
        answer(replica, inputs=pair("no", "b"))


def test_it_can_generate_text_instead(tmp_path: Path) -> None:
    FORMS["template"](tmp_path)
    assert task_of(config_of(tmp_path, task="text-generation")).name == "text-generation"
    assert task_of(config_of(tmp_path, task="text-classification")) is CausalReranker
