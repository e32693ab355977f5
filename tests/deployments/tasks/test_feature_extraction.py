"""feature-extraction against the plain model, pooled by hand."""

import base64
import json

import numpy as np
import pytest
import torch

from deployments.errors import InvalidInput
from deployments.tasks.feature_extraction import FeatureExtraction, Request
from tests.checkpoints import Checkpoints, load_task, small_checkpoint

TEXTS = ("A man plays a guitar.", "a", "Crème brûlée 🙂 שלום", "The river rose in the night. " * 6)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """A checkpoint with sentence-transformers' files: mean, normalised, two prompts, 64 tokens."""
    folder = small_checkpoint(tmp_path_factory.mktemp("sentences") / "bert", "bert", "")
    files = {
        "modules.json": [
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
        "config_sentence_transformers.json": {"prompts": {"query": "query: ", "plain": ""}},
        "sentence_bert_config.json": {"max_seq_length": 64},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return load_task(FeatureExtraction, folder)


def ask(task, text, **fields):
    request = Request.model_validate({"inputs": text, **fields})
    prepared = task.preprocess(request)
    return task.postprocess(request, prepared, task.forward(prepared.rows, prepared.params))


def hidden_states(task, text, **options):
    """[tokens, dim] of the plain model."""
    task.layout.detach()
    with torch.inference_mode():
        encoded = task.tokenizer(text, return_tensors="pt", **options)
        hidden = task.checkpoint.model(**encoded).last_hidden_state[0].numpy()
    task.layout.attach()
    return hidden


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_hidden_states_are_the_plain_models(checkpoints):
    task = load_task(FeatureExtraction, checkpoints("bert", ""))
    for text in TEXTS:
        np.testing.assert_allclose(ask(task, text), hidden_states(task, text), atol=1e-4)


@pytest.mark.parametrize("mode", ["mean", "cls", "last"])
@pytest.mark.parametrize("normalize", [False, True])
def test_pooling_by_hand(checkpoints, mode, normalize):
    pooling = {"mode": mode, "normalize": normalize}
    task = load_task(FeatureExtraction, checkpoints("bert", ""), pooling=pooling)
    for text in TEXTS:
        hidden = hidden_states(task, text)
        expected = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[mode]
        np.testing.assert_allclose(ask(task, text), unit(expected) if normalize else expected, atol=1e-5)


def test_the_checkpoints_files_say_how_to_pool(sentences):
    for text in TEXTS:
        expected = unit(hidden_states(sentences, text).mean(0))
        np.testing.assert_allclose(ask(sentences, text), expected, atol=1e-5)
        raw = hidden_states(sentences, text).mean(0)
        np.testing.assert_allclose(ask(sentences, text, normalize=False), raw, atol=1e-5)


def test_their_length_is_a_limit_unless_another_is_configured(sentences):
    assert sentences.preprocess(Request(inputs="the " * 300)).rows[0].length == 64
    other = load_task(FeatureExtraction, sentences.checkpoint.folder, layout=None, max_length=100)
    assert other.max_length == 100


def test_prompts_go_in_front(sentences):
    np.testing.assert_allclose(
        ask(sentences, "a man", prompt_name="query"),
        ask(sentences, "query: a man"),
        atol=1e-6,
    )
    assert not np.allclose(
        ask(sentences, "a man", prompt_name="query"),
        ask(sentences, "a man", prompt_name="plain"),
    )
    with pytest.raises(InvalidInput, match=r"'queri' is not one of the checkpoint's prompts \(plain, query\)"):
        ask(sentences, "a man", prompt_name="queri")


def test_fewer_dimensions_are_normalised_again(sentences):
    whole, some = ask(sentences, "a man"), ask(sentences, "a man", dimensions=8)
    np.testing.assert_allclose(some, unit(whole[:8]), atol=1e-6)
    with pytest.raises(InvalidInput, match="dimensions is 33; the model's vectors have 32"):
        ask(sentences, "a man", dimensions=33)


def test_dimensions_of_hidden_states_are_refused(checkpoints):
    task = load_task(FeatureExtraction, checkpoints("bert", ""), pooling={"mode": "none"})
    with pytest.raises(InvalidInput, match="returns hidden states"):
        ask(task, "a man", dimensions=8)


def test_base64_is_the_same_vector(sentences):
    encoded = ask(sentences, "a man", encoding_format="base64")
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(encoded), "<f4"), ask(sentences, "a man"))


@pytest.mark.parametrize(("direction", "side"), [("left", "left"), ("Left", "left"), ("Right", "right")])
def test_a_long_text_is_cut_on_the_asked_side(sentences, direction, side):
    text = "guitar " + "the river rose " * 100 + "France"
    sentences.tokenizer.truncation_side = side
    hidden = hidden_states(sentences, text, truncation=True, max_length=64)
    np.testing.assert_allclose(ask(sentences, text, truncation_direction=direction), unit(hidden.mean(0)), atol=1e-5)
    with pytest.raises(InvalidInput, match="at most 64"):
        ask(sentences, text, truncate=False)


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_token_ids_are_read_as_they_are(checkpoints, family):
    task = load_task(FeatureExtraction, checkpoints(family, ""))
    for text in TEXTS[:3]:
        ids = task.tokenizer(text)["input_ids"]
        np.testing.assert_allclose(ask(task, ids), ask(task, text), atol=1e-5)
        bare = task.tokenizer(text, add_special_tokens=False)["input_ids"]
        np.testing.assert_allclose(ask(task, bare), hidden_states(task, text, add_special_tokens=False), atol=1e-4)
    with pytest.raises(InvalidInput, match="inputs has the token id 99999; this model's highest is"):
        ask(task, [5, 99_999])


def test_ids_are_one_text_and_lists_of_them_several(sentences):
    assert not Request(inputs=[5, 6]).is_batch
    assert [item.inputs for item in sentences.split(Request(inputs=[[5, 6], [7]]))] == [[5, 6], [7]]
    cut = sentences.preprocess(Request(inputs=list(range(5, 105)), truncation_direction="left"))
    assert (cut.truncated, cut.rows[0].inputs["input_ids"]) == (True, list(range(41, 105)))
    with pytest.raises(InvalidInput, match="inputs has 100 tokens; the model reads at most 64"):
        ask(sentences, [5] * 100, truncate=False)
    with pytest.raises(InvalidInput, match="a prompt can only be prepended to a text"):
        ask(sentences, [5], prompt_name="query")


def test_a_request_may_pool_otherwise(sentences):
    hidden = hidden_states(sentences, "a man")
    np.testing.assert_allclose(ask(sentences, "a man", pooling="none"), hidden, atol=1e-5)
    np.testing.assert_allclose(ask(sentences, "a man", pooling="cls"), unit(hidden[0]), atol=1e-5)
    np.testing.assert_allclose(ask(sentences, "a man", pooling="last", normalize=False), hidden[-1], atol=1e-5)
    assert sentences.join(Request(inputs="a", pooling="none"), ["v"]) == "v"
    params = {sentences.preprocess(Request(inputs="a", pooling=mode)).params for mode in (None, "mean", "none", "cls")}
    modes = {None if each is None else each.modes for each in params}
    assert modes == {("mean",), None, ("cls",)}, "rows that are pooled alike share a forward"


def test_pooled_is_one_vector_per_input_and_hidden_states_of_one_text_are_bare(sentences, checkpoints):
    plain = load_task(FeatureExtraction, checkpoints("bert", ""), layout=None)
    one, several = Request(inputs="a"), Request(inputs=["a", "b"])
    assert sentences.join(one, ["v"]) == ["v"]
    assert sentences.join(several, ["v", "w"]) == ["v", "w"]
    assert plain.join(one, ["v"]) == "v"
    assert plain.join(several, ["v", "w"]) == ["v", "w"]
