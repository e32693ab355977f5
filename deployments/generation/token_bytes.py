"""The bytes of a token in the middle of a text: its own text, or its part of a character."""

from functools import cached_property
from typing import Any

from deployments.generation.detokenizer import INCOMPLETE
from deployments.generation.special_tokens import special_tokens

_AS_IT_IS = {"clean_up_tokenization_spaces": False}
ANCHORS = ("a", "the", "0")  # a token of one of these stands before the token that is decoded


class TokenBytes:
    """What each token of a vocabulary adds to a text.

    Decoded by itself, a token loses the space before it (sentencepiece's tokenizers) or shows the bytes of a character
    as a replacement character. Decoded behind another token it keeps the space, and its bytes are read from its name.

    Args:
        tokenizer: with `decode` and, for a token that is a part of a character, `convert_ids_to_tokens`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = frozenset(special_tokens(tokenizer).values())
        self._texts: dict[tuple[int, bool], str] = {}

    def text(self, token: int, *, at_start: bool = False) -> str:
        """Its text, special tokens by their names; with a replacement character where it is part of a character.

        Args:
            token: its id.
            at_start: at the beginning of a text, where some tokenizers drop a space.
        """
        key = token, at_start
        if key not in self._texts:
            self._texts[key] = self._decoded(token, at_start)
        return self._texts[key]

    def bytes(self, token: int, *, at_start: bool = False) -> bytes:
        """Its bytes in UTF-8."""
        text = self.text(token, at_start=at_start)
        if INCOMPLETE not in text or token in self._special:
            return text.encode()
        name = str(self._tokenizer.convert_ids_to_tokens(token))
        if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):  # byte fallback
            return bytes.fromhex(name[3:5])
        if all(letter in self._byte_of for letter in name):
            return bytes(self._byte_of[letter] for letter in name)
        return text.encode()

    def _decoded(self, token: int, at_start: bool) -> str:
        before = [] if at_start or token in self._special else self._anchor
        start, text = (self._tokenizer.decode(ids, **_AS_IT_IS) for ids in (before, [*before, token]))
        return str(text[len(start) :] if text.startswith(start) else self._tokenizer.decode([token], **_AS_IT_IS))

    @cached_property
    def _anchor(self) -> list[int]:
        """A token that stands before another and changes nothing about it; none if the tokenizer has no such token."""
        known = self._tokenizer.get_vocab() if hasattr(self._tokenizer, "get_vocab") else {}
        return next(([known[name]] for name in ANCHORS if name in known), [])

    @cached_property
    def _byte_of(self) -> dict[str, int]:
        """The bytes that byte-level tokenizers name by letters: printable ones by themselves, others from U+0100 on."""
        printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(256) if byte not in printable]
        return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}
