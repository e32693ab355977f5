"""Tokens to text a token at a time: pieces put together are the text of all tokens, cut before a stop string."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from deployments.generation.detokenizer import INCOMPLETE, Detokenizer, StopStrings
from tests.checkpoints import SENTENCES, small_tokenizer
from tests.sentencepiece_tokenizer import metaspace

LETTERS = "aé ß\n.'שמم我日🙂👩\u200d🚀\u0301"
TEXTS = st.one_of(st.sampled_from(SENTENCES), st.text(st.sampled_from(LETTERS), max_size=20))
KINDS = st.sampled_from(("byte-level", "metaspace"))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    return {
        "byte-level": small_tokenizer("bytelevel", tmp_path_factory.mktemp("tokenizer"), token_types=False),
        "metaspace": metaspace(),
    }


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def going_on(tokenizer, text):
    """The tokens of a text in the middle of another: without the space that the tokenizer puts in front."""
    ids = ids_of(tokenizer, text)
    return ids[1:] if ids and tokenizer.convert_ids_to_tokens(ids[0]) == "▁" else ids


def decoded(tokenizer, ids):
    return tokenizer.decode(ids, skip_special_tokens=True)


def pieces_of(tokenizer, ids, prefix_ids=()):
    """Each token's piece, and what was left at the end."""
    pieces = Detokenizer(tokenizer, prefix_ids)
    return [*(pieces.add(token) for token in ids), pieces.flush()]


@given(KINDS, TEXTS, TEXTS)
@example("metaspace", "我日👩\u200d🚀🙂", "日🙂 the")  # longer than what a piece looks back to, in one run of bytes
@example("metaspace", "the ", "  the")
def test_pieces_of_a_text_are_the_text_and_never_end_inside_a_character(tokenizers, kind, prompt, text):
    tokenizer = tokenizers[kind]
    prefix_ids, ids = ids_of(tokenizer, prompt), going_on(tokenizer, text)
    for start in ([], prefix_ids, [tokenizer.bos_token_id, *prefix_ids]):
        pieces = pieces_of(tokenizer, ids, start)
        assert "".join(pieces) == decoded(tokenizer, start + ids)[len(decoded(tokenizer, start)) :]
        assert INCOMPLETE not in "".join(pieces)
        assert pieces[-1] == ""


@given(st.data())
def test_pieces_of_any_tokens_are_what_all_of_them_decode_to(tokenizers, data):
    """Bytes that are no characters, and special tokens between the bytes of one."""
    tokenizer = tokenizers["byte-level"]
    some = st.lists(st.integers(0, len(tokenizer) - 1), max_size=30)
    ids, prefix_ids = data.draw(some), ids_of(tokenizer, data.draw(TEXTS))
    assert (
        "".join(pieces_of(tokenizer, ids, prefix_ids))
        == decoded(tokenizer, prefix_ids + ids)[len(decoded(tokenizer, prefix_ids)) :]
    )


@given(st.data())
def test_letters_and_special_tokens_in_any_order(tokenizers, data):
    """A decoder that takes the first space away takes no other, wherever a piece begins."""
    tokenizer = tokenizers["metaspace"]
    first = tokenizer.convert_tokens_to_ids("▁")
    ids = data.draw(st.lists(st.sampled_from([0, 1, 2, *range(first, len(tokenizer))]), max_size=30))
    assert "".join(pieces_of(tokenizer, ids)) == decoded(tokenizer, ids)


def test_bytes_that_are_no_character_are_told_at_the_end(tokenizers):
    tokenizer = tokenizers["byte-level"]
    ids = ids_of(tokenizer, "a🙂")
    assert pieces_of(tokenizer, ids[:-1])[-1] == INCOMPLETE
    assert "".join(pieces_of(tokenizer, ids[:-1])) == decoded(tokenizer, ids[:-1]) == "a" + INCOMPLETE


def test_each_piece_comes_as_soon_as_it_is_complete(tokenizers):
    tokenizer = tokenizers["metaspace"]
    tokens = ["▁the", "▁", "h", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "▁the"]
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert pieces_of(tokenizer, ids) == ["the", " ", "h", "", "", "", "🙂", " the", ""]


def test_special_tokens_are_told_where_they_are_wanted(tokenizers):
    tokenizer = tokenizers["byte-level"]
    ids = tokenizer("a")["input_ids"]
    pieces = Detokenizer(tokenizer, skip_special=False)
    assert "".join([*(pieces.add(token) for token in ids), pieces.flush()]) == "<s>a</s>"


def cut(text, strings):
    """A text read letter by letter, before the string that is complete first; of several, the longest."""
    ends = [(text.find(string) + len(string), text.find(string)) for string in strings if string in text]
    return text[: min(ends)[1]] if ends else text


@given(st.text("abc", max_size=14), st.lists(st.text("abc", min_size=1, max_size=4), max_size=4), st.data())
@example("cabcac", ["bca", "abcac"], None)
def test_a_text_is_cut_before_the_first_string_whatever_the_pieces(text, strings, data):
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8))) if data else [2, 4]
    stop, released, added = StopStrings(strings), "", ""
    for start, end in zip([0, *places], [*places, len(text)], strict=True):
        released += stop.add(text[start:end])
        added += text[start:end]
        assert cut(added, strings).startswith(released), "released text is never taken back"
        assert (stop.reached is not None) == any(string in added for string in strings)
    released += stop.flush()
    assert released == cut(text, strings)
    assert stop.reached is None or (text[len(released) :].startswith(stop.reached) and stop.reached in strings)


@given(st.text("ab ", min_size=1, max_size=6), st.text("ab ", max_size=6), st.text("ab ", max_size=6))
def test_nothing_is_said_behind_a_string_that_was_reached(string, prefix_ids, after):
    assume(string not in prefix_ids)
    stop = StopStrings([string])
    stop.add(prefix_ids + string)
    assert stop.reached == string
    assert (stop.add(after), stop.flush(), stop.reached) == ("", "", string)


def test_only_what_may_become_a_string_is_held_back():
    stop = StopStrings(["\nUser:", "###"])
    assert [stop.add(piece) for piece in ("a", "\n", "\nUs", "e", "d", "#", "#a")] == [
        *("a", "", "\n", "", "\nUsed", "", "##a"),
    ]
    assert (stop.flush(), stop.reached) == ("", None)
