"""The beginning of a long text that is tokenized as within the whole, so that a page costs what its first tokens cost.

A text may be cut before a space where every step of the tokenizer treats what stands before it alike, whatever follows:

- Normalizers work character by character, or on clusters of characters, and no cluster ends within a letter, digit or
  punctuation mark and begins with the space after it. The character before a cut is therefore one of these.
- Pre-tokenizers of the kinds below always split at such a place, and look ahead at most within white space.
- Models see one piece after the other. BPE with dropout is random.
- Added tokens are found before all that: none may have a space behind another character, or take that behind it.

A tokenizer with any other part reads texts as a whole.
"""

import json
import unicodedata
from typing import Any

CHARACTERS = 8  # of a token, at first; twice as many as long as there are too few tokens

# Letters with case, modifiers, digits and punctuation; some other letters join the character behind them.
_BEFORE = ("Lu", "Ll", "Lm", "Nd", "Po")
_NORMALIZERS = {
    "BertNormalizer",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
    "Strip",
    "StripAccents",
}
_SPLITTING = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
_AFTER_SPLITTING = {"ByteLevel", "Digits", "Metaspace", "Punctuation"}  # they split pieces further, if at all
_CASES = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REGEXES = {  # of Qwen and of Llama
    _CASES + rf"|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in (r"\p{N}", r"\p{N}{1,3}")
}
_MODELS = ("WordPiece", "BPE", "Unigram", "WordLevel")


def truncated_from_beginning(tokenizer: Any, text: str, max_length: int, special_tokens: bool = True) -> Any | None:
    """The encoding of a long text, truncated on the right, from a beginning of it.

    Args:
        tokenizer: any.
        text: of any length.
        max_length: tokens, special ones included.
        special_tokens: whether the tokenizer adds any.

    Returns:
        None if the text has no more than `max_length` tokens, or must be read as a whole.
    """
    size = max_length * CHARACTERS
    if len(text) <= size or not can_be_cut(tokenizer):
        return None
    tokenizer.truncation_side = "right"
    options = {"truncation": True, "max_length": max_length, "add_special_tokens": special_tokens}
    while (end := cut(text, size)) is not None:
        encoding = tokenizer(text[:end], **options)
        if encoding[0].overflowing:
            return encoding
        size = 2 * end
    return None


def cut(text: str, size: int) -> int | None:
    """The first place behind `size` characters where a text may be cut; None if there is none."""
    place = text.find(" ", max(size, 1))
    while place >= 0:
        if unicodedata.category(text[place - 1]) in _BEFORE:
            return place
        place = text.find(" ", place + 1)
    return None


def can_be_cut(tokenizer: Any) -> bool:
    """Whether a tokenizer reads what stands before a cut as within the whole text."""
    if not getattr(tokenizer, "is_fast", False):
        return False
    backend = tokenizer.backend_tokenizer
    model = backend.model
    if type(model).__name__ not in _MODELS or getattr(model, "dropout", None):
        return False
    added = tokenizer.added_tokens_decoder.values()
    if any(token.rstrip or " " in token.content.lstrip() for token in added):
        return False
    return all(map(_is_local, _parts(backend.normalizer, "normalizers"))) and _splits(
        _parts(backend.pre_tokenizer, "pretokenizers")
    )


def _parts(component: Any, name: str) -> list[dict[str, Any]]:
    """The settings of a normalizer or pre-tokenizer, or of each in a sequence."""
    if component is None:
        return []
    settings = json.loads(component.__getstate__())
    parts: list[dict[str, Any]] = settings[name] if settings["type"] == "Sequence" else [settings]
    return parts


def _is_local(normalizer: dict[str, Any]) -> bool:
    if normalizer["type"] == "Replace":
        return bool(normalizer["pattern"] == {"Regex": " {2,}"})
    return normalizer["type"] in _NORMALIZERS


def _splits(parts: list[dict[str, Any]]) -> bool:
    """Whether the first pre-tokenizer splits before a space, and the others only split further."""
    if not parts:
        return False
    first, *others = parts
    is_splitting = (
        first["type"] in _SPLITTING
        or (first["type"] == "ByteLevel" and first["use_regex"])
        or (first["type"] == "Metaspace" and first["split"])
        or (
            first["type"] == "Split"
            and first["pattern"].get("Regex") in _REGEXES
            and first["behavior"] == "Isolated"
            and not first["invert"]
        )
    )
    return is_splitting and all(part["type"] in _AFTER_SPLITTING | _SPLITTING for part in others)
