"""The beginning of a long text is tokenized as within the whole, for each kind of tokenizer whose texts may be cut."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from deployments.errors import InvalidInput
from deployments.text import beginning
from deployments.text.beginning import can_be_cut, cut
from deployments.text.task import tokenized
from tests.checkpoints import SENTENCES, small_tokenizer
from tests.sentencepiece_tokenizer import metaspace

QWEN = next(regex for regex in beginning._REGEXES if "{1,3}" not in regex)
LETTERS = sorted({letter for sentence in SENTENCES for letter in sentence})


def wordpiece(folder: Any) -> Any:
    return small_tokenizer("wordpiece", folder)


def bytelevel(folder: Any) -> Any:
    return small_tokenizer("bytelevel", folder)


def qwen(folder: Any) -> Any:
    """Byte-level BPE with a regular expression of its own, and added tokens of white space."""
    tokenizer = small_tokenizer("bytelevel", folder)
    tokenizer.add_tokens(["   ", "\n\n"])  # as ModernBERT's
    split = pre_tokenizers.Split(Regex(QWEN), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def sentencepiece(folder: Any) -> Any:
    return metaspace()


def unigram(folder: Any) -> Any:
    """As XLM-RoBERTa's."""
    pieces = [("<unk>", 0.0), ("▁", -2.0), ("▁the", -3.0), ("in", -3.0), ("er", -3.5)]
    pieces += [(letter, -5.0 - index / 50) for index, letter in enumerate(LETTERS) if letter != " "]
    made = Tokenizer(models.Unigram(pieces, unk_id=0))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<unk>")


KINDS: tuple[Callable[[Any], Any], ...] = (wordpiece, bytelevel, qwen, sentencepiece, unigram)
every_kind = pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
# Marks, joiners, prepended letters, white space of all kinds, added tokens, and ordinary words.
PARTS = st.one_of(
    st.sampled_from(
        [" ", "  ", "\n", "\t", "\u00a0", "\u3000", "\u0301", "\u200d", "\u0d4e", "\u0600", "\u00b4", "ﬁ", "İ"]
    ),
    st.sampled_from(["'s", "...", "!\n", "1234", "<mask>", "[MASK]", "</s>", "[SEP]", "▁", "👩‍🚀", "我喜", "שלום"]),
    st.sampled_from([word for sentence in SENTENCES for word in sentence.split()]),
    st.text(max_size=3),
)
TEXTS = st.lists(st.one_of(PARTS, st.just(" ")), min_size=1, max_size=24).map("".join)


@cache
def _made(make: Callable[[Any], Any]) -> Any:
    from tempfile import mkdtemp

    return make(mkdtemp())


@every_kind
@given(text=TEXTS, size=st.integers(0, 60))
def test_the_tokens_before_a_cut_are_the_first_of_the_text(make: Any, text: str, size: int) -> None:
    tokenizer = _made(make)
    assert can_be_cut(tokenizer)
    place = cut(text, size)
    if place is None:
        return
    assert place >= size
    options = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
    part, whole = tokenizer(text[:place], **options), tokenizer(text, **options)
    tokens = len(part["input_ids"])
    assert part["input_ids"] == whole["input_ids"][:tokens]
    assert part["offset_mapping"] == whole["offset_mapping"][:tokens]
    assert all(start >= place or start == end for start, end in whole["offset_mapping"][tokens:])


@every_kind
@given(text=TEXTS.map(lambda text: text * 9), max_length=st.integers(3, 12))
def test_a_truncated_text_is_what_it_would_be_in_one_piece(make: Any, text: str, max_length: int) -> None:
    tokenizer = _made(make)
    encoding, truncated = tokenized(tokenizer, text, max_length=max_length)
    whole = tokenizer(text, verbose=False)["input_ids"]
    expected = tokenizer(text, truncation=True, max_length=max_length)
    assert truncated == (len(whole) > max_length)
    assert encoding["input_ids"] == expected["input_ids"]
    assert encoding[0].offsets == expected[0].offsets
    if truncated:
        with pytest.raises(InvalidInput, match=f"inputs has {len(whole)} tokens; the model reads at most {max_length}"):
            tokenized(tokenizer, text, max_length=max_length, truncate=False)


def test_a_page_costs_what_its_beginning_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = _made(wordpiece)
    read: list[int] = []

    class Counting:
        is_fast = True
        added_tokens_decoder = tokenizer.added_tokens_decoder
        backend_tokenizer = tokenizer.backend_tokenizer

        def __call__(self, text: str, *args: Any, **options: Any) -> Any:
            read.append(len(text))
            return tokenizer(text, *args, **options)

    encoding, truncated = tokenized(Counting(), SENTENCES[0] * 2000, max_length=32)
    assert truncated
    assert len(encoding["input_ids"]) == 32
    assert max(read) < 32 * 8 + 20


@pytest.mark.parametrize("change", ["a space in a token", "a token with its space", "dropout", "no splits", "replaced"])
def test_other_tokenizers_read_the_whole(tmp_path: Any, change: str) -> None:
    tokenizer = bytelevel(tmp_path)
    backend = tokenizer.backend_tokenizer
    if change == "a space in a token":
        tokenizer.add_tokens(["[Q] "])
    elif change == "a token with its space":
        tokenizer.add_tokens([AddedToken("[Q]", rstrip=True)])
    elif change == "dropout":
        backend.model.dropout = 0.1
    elif change == "no splits":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(use_regex=False)
    else:
        backend.normalizer = normalizers.Replace(Regex(r"e \w"), "x")
    assert not can_be_cut(tokenizer)
