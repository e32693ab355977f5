"""Tokens of texts and texts of tokens, against the tokenizer itself."""

import pytest

from deployments.errors import InvalidInput, TooLarge
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.tasks.image_classification import ImageClassification
from deployments.text.tokens import DecodeRequest, TokenizeRequest, decode, tokenize
from tests.checkpoints import Checkpoints, load_task
from tests.media_checkpoints import MediaCheckpoints

TEXT = "Crème brûlée 🙂 for two"


@pytest.fixture(scope="module", params=["bert", "roberta", "albert"])
def task(request, tmp_path_factory):
    return load_task(
        FeatureExtraction, Checkpoints(tmp_path_factory.mktemp("tokens")).of(FeatureExtraction, request.param)
    )


def tokens(task, **asked):
    return tokenize(task, TokenizeRequest(**asked), 1000)


def test_tokens_are_the_tokenizers_and_stand_where_they_say(task):
    (found,) = tokens(task, inputs=TEXT)
    assert [token["id"] for token in found] == task.tokenizer(TEXT)["input_ids"]
    own = [token for token in found if not token["special"]]
    assert len(own) < len(found)
    assert all((token["start"], token["stop"]) == (None, None) for token in found if token["special"])
    assert all(TEXT[token["start"] : token["stop"]] == token["text"] for token in own)
    assert "".join(token["text"] for token in own).startswith("Cr")
    in_bytes = tokens(task, inputs=[TEXT, "a"], offsets="bytes")[0]
    assert [token["text"] for token in in_bytes] == [token["text"] for token in found]
    assert all(
        TEXT.encode()[token["start"] : token["stop"]].decode() == token["text"]
        for token in in_bytes
        if not token["special"]
    )
    assert [t["id"] for t in tokens(task, inputs=TEXT, add_special_tokens=False)[0]] == [t["id"] for t in own]


def test_ids_are_text_again(task):
    ids = [token["id"] for token in tokens(task, inputs="The river rose")[0]]
    assert decode(task, DecodeRequest(ids=ids), 100) == [task.tokenizer.decode(ids, skip_special_tokens=True)]
    both = decode(task, DecodeRequest(ids=[ids, ids[:1]], skip_special_tokens=False), 100)
    assert both == [task.tokenizer.decode(ids), task.tokenizer.decode(ids[:1])]


def test_what_is_too_much_or_unknown_is_refused(task):
    with pytest.raises(TooLarge, match="the limit for one request is 3"):
        tokenize(task, TokenizeRequest(inputs=["The river", "rose"]), 3)
    with pytest.raises(TooLarge, match="ids has 4 tokens"):
        decode(task, DecodeRequest(ids=[[1, 2], [1, 2]]), 3)
    with pytest.raises(InvalidInput, match=r"ids\[0\] has the token id 1000000; this model's highest is"):
        decode(task, DecodeRequest(ids=[1_000_000]), 100)
    with pytest.raises(InvalidInput, match=r"inputs\[1\] is empty"):
        tokens(task, inputs=["a", ""])
    with pytest.raises(InvalidInput, match="'query' is not one of the checkpoint's prompts"):
        tokens(task, inputs="a", prompt_name="query")


def test_a_model_without_words_has_no_tokens(tmp_path):
    task = load_task(ImageClassification, MediaCheckpoints(tmp_path).of(ImageClassification, "vit"))
    with pytest.raises(InvalidInput, match="this model .* has no tokenizer"):
        tokens(task, inputs="a")
