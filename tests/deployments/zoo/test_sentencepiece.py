"""SentencePiece's vocabulary as a `tokenizer.json`: pieces are joined by score, given tokens stay whole."""

from typing import Any

import pytest

from deployments.zoo.sentencepiece import SPACE, merges, tokenizer_of

TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "\n\n", SPACE * 2, *(f"<0x{byte:02X}>" for byte in range(256))]
KINDS = [3, 3, 3, 3, 4, 4, *[6] * 256]
WORDS = ["ab", "bc", f"{SPACE}a", "abc", SPACE, "a", "b", "c"]


@pytest.fixture
def facts() -> dict[str, Any]:
    return {
        "tokenizer.ggml.tokens": [*TOKENS, *WORDS],
        "tokenizer.ggml.token_type": [*KINDS, *[1] * len(WORDS)],
        "tokenizer.ggml.scores": [-1000.0] * 6 + [0.0] * 256 + [-float(rank) for rank in range(len(WORDS))],
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 3,
    }


def pieces(facts: dict[str, Any], text: str) -> list[str]:
    import json

    from tokenizers import Tokenizer

    encoding = Tokenizer.from_str(json.dumps(tokenizer_of(facts))).encode(text)
    found: list[str] = encoding.tokens
    return found


def test_pairs_are_in_the_order_of_their_whole() -> None:
    tokens, scores = ["b", "a", "ab", "aab", "aa", "<x>"], [-9.0, -8.0, -2.0, -3.0, -1.0, 0.0]
    kinds = [1, 1, 1, 1, 1, 3]
    assert merges(tokens, scores, kinds) == [["a", "a"], ["a", "b"], ["a", "ab"], ["aa", "b"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", ["<bos>", "abc"]),
        ("a bc", ["<bos>", "a", SPACE, "bc"]),
        (" ab", ["<bos>", SPACE, "ab"]),  # `ab` has a higher score than `▁a`
        ("a  c", ["<bos>", "a", SPACE * 2, "c"]),
        ("a\n\nb<eos>", ["<bos>", "a", "\n\n", "b", "<eos>"]),
        ("é", ["<bos>", "<0xC3>", "<0xA9>"]),
    ],
)
def test_texts_come_apart_as_in_sentencepiece(facts: dict[str, Any], text: str, expected: list[str]) -> None:
    assert pieces(facts, text) == expected


@pytest.mark.parametrize("text", ["abc  ab\n\nc", " a", "é b"])
def test_decoding_gives_the_text_back(facts: dict[str, Any], text: str) -> None:
    import json

    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(json.dumps(tokenizer_of(facts)))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
