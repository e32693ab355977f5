"""Tokenizers that remove spaces before punctuation: streams, whole texts and stop strings agree with `decode`."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from deployments.generation.clean_up import CleanUp
from deployments.generation.output import SequenceOutput
from deployments.generation.request import GenerationRequest, StreamedToken
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sequence import Prompt
from deployments.generation.transformers_internals import cleans_up
from tests.checkpoints import small_tokenizer
from tests.sentencepiece_tokenizer import metaspace

PARTS = [" ", " ", "n", "'", "n't", "'s", "'ve", "'re", "'m", ".", ",", "?", "!", "do", "t", " ' ", " n", " '", "s"]
PIECES = st.lists(st.sampled_from(PARTS), max_size=14)


def clean(text: str) -> str:
    return PreTrainedTokenizerBase.clean_up_tokenization(None, text)


@given(PIECES, PIECES)
@example([], ["he", "  ", "' s"])
@example(["do n"], ["'t", " ' ", "."])
def test_pieces_are_cleaned_as_the_whole_is(before: list[str], pieces: list[str]) -> None:
    prompt, text = "".join(before), "".join(pieces)
    growing = CleanUp(clean, prompt)
    told = "".join(growing.add(piece) for piece in pieces) + growing.flush()
    assert told == clean(prompt + text)[len(clean(prompt)) :]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """WordPiece, as BERT's decoders have it."""
    made = small_tokenizer("wordpiece", tmp_path_factory.mktemp("tokenizer"))
    made.clean_up_tokenization_spaces = True
    return made


TEXT = "she sells shells , does n't she ? they ' ve sold it . i ' m there !"


def told(tokenizer: Any, prompt: list[int], ids: list[int], *stop: str) -> tuple[str, str | None]:
    """The joined pieces of a stream, and the text of a row with stop strings."""
    pieces: list[StreamedToken] = []
    request = GenerationRequest(Prompt(prompt), SamplingParams(max_new_tokens=len(ids)), stop=stop)
    output = SequenceOutput(request, 0, tokenizer, is_continuation=True, on_token=pieces.append)
    for token in ids:
        output.add(token)
    return "".join(piece.text for piece in pieces), output.completion.text


def test_a_stream_and_a_stop_string_see_the_text_of_decode(tokenizer: Any) -> None:
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) != tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    for cut in range(1, len(ids)):
        prompt, rest = ids[:cut], ids[cut:]
        expected = tokenizer.decode(ids, skip_special_tokens=True)[
            len(tokenizer.decode(prompt, skip_special_tokens=True)) :
        ]
        assert told(tokenizer, prompt, rest)[0] == expected
        assert told(tokenizer, prompt, rest, "never")[1] == expected
        for stop in ("n't she?", "sold it.", " .", ","):
            stream, text = told(tokenizer, prompt, rest, stop)
            assert stream == text == expected.split(stop)[0]


def test_which_tokenizers_clean(tokenizer: Any, tmp_path: Path) -> None:
    bpe = small_tokenizer("bytelevel", tmp_path)
    for each in (tokenizer, bpe, metaspace()):
        each.clean_up_tokenization_spaces = True
        ids = each("a ' s", add_special_tokens=False)["input_ids"]
        plain = each.decode(ids, clean_up_tokenization_spaces=False)
        assert cleans_up(each) == (each.decode(ids) != plain)
    assert cleans_up(tokenizer)
