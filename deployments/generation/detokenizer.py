"""Tokens to text, one token at a time. The pieces, joined, are the text of all tokens decoded at once."""

from collections.abc import Sequence
from typing import Any

from deployments.generation.clean_up import CleanUp
from deployments.generation.transformers_internals import cleans_up

INCOMPLETE = "\ufffd"  # a tokenizer decodes the first bytes of a character to this
CONTEXT = 8  # tokens of a prompt that the first piece behind it may depend on; more if they end inside a character


class Detokenizer:
    """Decodes one sequence as it grows.

    A token's text depends on the tokens before it (a space or none, bytes of one character). A piece is therefore what
    the text of the last few tokens grows by, not the token's own text.

    Args:
        tokenizer: with `decode`.
        prefix_ids: tokens before the first one: a decoder-only model's prompt.
        skip_special: leave out special tokens.
    """

    def __init__(self, tokenizer: Any, prefix_ids: Sequence[int] = (), *, skip_special: bool = True) -> None:
        self._tokenizer = tokenizer
        self._options: dict[str, bool] = {"skip_special_tokens": skip_special}
        self._clean_up: CleanUp | None = None
        self._ids = list(prefix_ids)
        self._end = len(self._ids)  # tokens before here are returned
        if cleans_up(tokenizer):  # the text of a few tokens does not tell how their end is cleaned
            self._options["clean_up_tokenization_spaces"] = False
            before = tokenizer.decode(self._ids, **self._options) if self._ids else ""
            self._clean_up = CleanUp(tokenizer.clean_up_tokenization, before)
        self._start = self._context()  # tokens from here on are decoded again, for context

    def add(self, token: int) -> str:
        """The text that this token completes; empty inside a character."""
        piece = self._completed(token)
        return piece if self._clean_up is None else self._clean_up.add(piece)

    def flush(self) -> str:
        """The rest at the end: bytes that never became a character, as the tokenizer decodes them."""
        rest = self._take(self._decoded(self._end), self._decoded(len(self._ids)))
        return rest if self._clean_up is None else self._clean_up.add(rest) + self._clean_up.flush()

    def _completed(self, token: int) -> str:
        self._ids.append(token)
        before, now = self._decoded(self._end), self._decoded(len(self._ids))
        if len(now) <= len(before) or now.endswith(INCOMPLETE):
            return ""
        return self._take(before, now)

    def _context(self) -> int:
        """Where in the prompt to begin: not inside a character, whose bytes would garble those behind them."""
        for start in range(self._end - CONTEXT, 0, -CONTEXT):
            self._start = start
            text = self._decoded(self._end)
            if text and not text.startswith(INCOMPLETE):
                return start
        return 0

    def _take(self, before: str, now: str) -> str:
        self._start, self._end = self._end, len(self._ids)
        return now[len(before) :]

    def _decoded(self, end: int) -> str:
        text: str = self._tokenizer.decode(self._ids[self._start : end], **self._options)
        return text


class StopStrings:
    """Cuts a growing text before the first stop string, and withholds an end that may become one.

    Args:
        strings: none of them empty.

    Attributes:
        reached: the stop string that ended the text; None before.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._withheld = ""
        self.reached: str | None = None

    def add(self, piece: str) -> str:
        """The text that can be released with this piece; empty once a stop string is reached."""
        if self.reached is not None:
            return ""
        text = self._withheld + piece
        found = [(start, string) for string in self._strings if (start := text.find(string)) >= 0]
        if found:
            # The first to be complete, as if the text came character by character; of several, the longest.
            start, self.reached = min(found, key=lambda each: (each[0] + len(each[1]), each[0]))
            self._withheld = ""
            return text[:start]
        end = len(text) - max((_overlap(text, string) for string in self._strings), default=0)
        self._withheld = text[end:]
        return text[:end]

    def flush(self) -> str:
        """The withheld text, once the sequence has ended."""
        withheld, self._withheld = self._withheld, ""
        return withheld


def _overlap(text: str, string: str) -> int:
    """Length of the longest suffix of `text` that is a proper prefix of `string`."""
    return next(
        (size for size in range(min(len(text), len(string) - 1), 0, -1) if text.endswith(string[:size])),
        0,
    )
