"""The bytes of tokens: put together they are the text's, with spaces, and in parts of characters."""

from pathlib import Path
from typing import Any

import pytest

from deployments.generation.token_bytes import TokenBytes
from tests.checkpoints import SENTENCES, small_tokenizer
from tests.sentencepiece_tokenizer import metaspace


@pytest.fixture(scope="module", params=["byte-level", "metaspace", "wordpiece"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    kinds = {"byte-level": lambda: small_tokenizer("bytelevel", folder), "metaspace": metaspace}
    return kinds.get(request.param, lambda: small_tokenizer("wordpiece", folder))()


def test_the_bytes_of_all_tokens_are_those_of_the_text(tokenizer: Any) -> None:
    of = TokenBytes(tokenizer)
    for sentence in SENTENCES:
        ids = tokenizer(sentence, add_special_tokens=False)["input_ids"]
        told = b"".join(of.bytes(token, at_start=not place) for place, token in enumerate(ids))
        assert told.decode() == tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def test_parts_of_a_character_and_the_space_before_a_word(tmp_path: Path) -> None:
    for tokenizer in (small_tokenizer("bytelevel", tmp_path), metaspace()):
        of = TokenBytes(tokenizer)
        ids = tokenizer("\U0001f680", add_special_tokens=False)["input_ids"]
        parts = [of.bytes(token) for token in ids]
        assert b"".join(parts).lstrip() == "\U0001f680".encode()
        assert len(parts) > 1
        (word,) = tokenizer(" the", add_special_tokens=False)["input_ids"][-1:]
        assert (of.text(word), of.bytes(word)) == (" the", b" the")
        end = tokenizer.eos_token_id
        assert (of.text(end), of.bytes(end)) == ("</s>", b"</s>")
