"""Tokens to text, a token at a time. The pieces put together are the text of all tokens decoded at once."""

from collections.abc import Sequence
from typing import Any

INCOMPLETE = "\ufffd"  # what a tokenizer writes for bytes that are no character yet


class Detokenizer:
    """The text of one row as it grows.

    A token's text depends on those before it (a space or none, bytes of one character), so each piece is what the last
    few tokens have become longer by, not the token's own text.

    Args:
        tokenizer: with `decode`.
        before: tokens before the first one: of a decoder-only model's prompt.
        skip_special: leave out special tokens.
    """

    def __init__(self, tokenizer: Any, prefix_ids: Sequence[int] = (), *, skip_special: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._ids = list(prefix_ids)
        self._end = len(self._ids)  # tokens before here have been said
        self._start = self._context()  # tokens from here on are decoded again, for their surroundings

    def add(self, token: int) -> str:
        """The text that is complete with this token."""
        self._ids.append(token)
        prefix_ids, now = self._decoded(self._end), self._decoded(len(self._ids))
        if len(now) <= len(prefix_ids) or now.endswith(INCOMPLETE):
            return ""
        return self._take(prefix_ids, now)

    def flush(self) -> str:
        """What is left at the end: bytes that never became a character, as the tokenizer writes them."""
        return self._take(self._decoded(self._end), self._decoded(len(self._ids)))

    def _context(self) -> int:
        """Where in the prompt to begin: not inside a character, whose bytes would spoil those behind them."""
        for start in range(self._end - CONTEXT, 0, -CONTEXT):
            self._start = start
            text = self._decoded(self._end)
            if text and not text.startswith(INCOMPLETE):
                return start
        return 0

    def _take(self, prefix_ids: str, now: str) -> str:
        self._start, self._end = self._end, len(self._ids)
        return now[len(prefix_ids) :]

    def _decoded(self, end: int) -> str:
        text: str = self._tokenizer.decode(self._ids[self._start : end], skip_special_tokens=self._skip_special)
        return text


CONTEXT = 8  # tokens of a prompt that its continuation's first piece may depend on; more where a character says so


class StopStrings:
    """Cuts a text that grows before the first of some strings, and holds back what may become one.

    Args:
        strings: none of them empty.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._withheld = ""
        self.reached: str | None = None

    def add(self, piece: str) -> str:
        """What can be said with this piece; nothing more once a string has been reached."""
        if self.reached is not None:
            return ""
        text = self._withheld + piece
        found = [(place, string) for string in self._strings if (place := text.find(string)) >= 0]
        if found:
            # The one that is complete first, as if the text came letter by letter; of several, the longest.
            place, self.reached = min(found, key=lambda each: (each[0] + len(each[1]), each[0]))
            self._withheld = ""
            return text[:place]
        kept = max((_overlap(text, string) for string in self._strings), default=0)
        self._withheld = text[len(text) - kept :]
        return text[: len(text) - kept]

    def flush(self) -> str:
        """What was held back, once the text is over."""
        held, self._withheld = self._withheld, ""
        return held


def _overlap(text: str, string: str) -> int:
    """Length of the longest end of `text` that `string` begins with."""
    return next(
        (size for size in range(min(len(text), len(string) - 1), 0, -1) if text.endswith(string[:size])),
        0,
    )
