"""A SentencePiece vocabulary, as GGUF carries it, turned into a `tokenizer.json`.

SentencePiece (Kudo & Richardson 2018, https://arxiv.org/abs/1808.06226) joins the two neighbours whose whole has the
highest score, until none is left to join. The `tokenizers` library wants the pairs themselves, the first to be joined
first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""Stands for a space within tokens."""

_NORMAL, _CONTROL, _GIVEN = 1, 3, 4
"""Types of token: one made of others or a single character; `<eos>` and the like; one that is never taken apart."""


def tokenizer_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contents of `tokenizer.json`; the tokenizer puts the token that begins a text there itself."""
    tokens: Sequence[str] = facts["tokenizer.ggml.tokens"]
    kinds: Sequence[int] = facts["tokenizer.ggml.token_type"]
    begin = tokens[facts["tokenizer.ggml.bos_token_id"]]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(tokens, kinds),
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": None,
        "post_processor": _begins_with(begin, facts["tokenizer.ggml.bos_token_id"]),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": tokens[facts["tokenizer.ggml.unknown_token_id"]],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": merges(tokens, facts["tokenizer.ggml.scores"], kinds),
        },
    }


def merges(tokens: Sequence[str], scores: Sequence[float], kinds: Sequence[int]) -> list[list[str]]:
    """Return every pair of normal tokens whose whole is one too, those with the highest score first."""
    normal = {token for token, kind in zip(tokens, kinds, strict=True) if kind == _NORMAL}
    ranked = sorted(range(len(tokens)), key=lambda number: -scores[number])  # stable: of equals the first comes first
    return [
        [token[:cut], token[cut:]]
        for token in (tokens[number] for number in ranked if kinds[number] == _NORMAL)
        for cut in range(1, len(token))
        if token[:cut] in normal and token[cut:] in normal
    ]


def added_tokens(tokens: Sequence[str], kinds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the tokens that are found before anything is joined.

    Those that are given, such as runs of spaces, are looked for where `SPACE` has replaced spaces already
    (`normalized`); control tokens as they stand.
    """
    plain = {"single_word": False, "lstrip": False, "rstrip": False}
    return [
        {"id": number, "content": token, **plain, "normalized": kind == _GIVEN, "special": kind == _CONTROL}
        for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in (_CONTROL, _GIVEN)
    ]


def _begins_with(token: str, number: int) -> dict[str, Any]:
    first = {"SpecialToken": {"id": token, "type_id": 0}}
    text, other = ({"Sequence": {"id": name, "type_id": type_id}} for name, type_id in (("A", 0), ("B", 1)))
    return {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text, first, other],
        "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]}},
    }
