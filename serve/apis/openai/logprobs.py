"""Log-probabilities of tokens as OpenAI's API has them: those of a chat, and those of a completion."""

import codecs
from typing import Any

MAX_TOP_LOGPROBS = 20

Token = dict[str, Any]  # the task's, with its bytes


def chat_logprobs(tokens: list[Token], top: list[list[Token]]) -> dict[str, Any]:
    """Of the tokens of a message; special ones are not part of it.

    Args:
        tokens: of the text.
        top: the alternatives to each; none if they were not requested.
    """
    pairs = zip(tokens, top or [[]] * len(tokens), strict=True)
    return {
        "content": [
            _named(token) | {"top_logprobs": [_named(other) for other in others]}
            for token, others in pairs
            if not token["special"]
        ]
    }


def _named(token: Token) -> dict[str, Any]:
    return {"token": _name(token), "logprob": token["logprob"], "bytes": token["bytes"]}


def _name(token: Token, prefix: str = "") -> str:
    """A token as text; part of a character as `\\xe2\\x80` behind `prefix`."""
    try:
        return bytes(token["bytes"]).decode()
    except UnicodeDecodeError:
        return prefix + "".join(f"\\x{byte:02x}" for byte in token["bytes"])


class CompletionLogprobs:
    """Log-probabilities of one choice, all at once or token by token.

    Args:
        top: alternatives to each token; 0 for none.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._offset = 0  # characters of the choice before its next token
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, tokens: list[Token], top: list[list[Token]]) -> dict[str, Any]:
        """Of the next tokens of the choice. The first token of a prompt has no log-probability and no alternatives."""
        pairs = zip(tokens, top or [[]] * len(tokens), strict=True)
        return {
            "tokens": [_completion_name(token) for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [_alternatives(token, others) for token, others in pairs] if self._top else None,
            "text_offset": [self._offset_of(token) for token in tokens],
        }

    def _offset_of(self, token: Token) -> int:
        """Where the token begins; in a character, where this begins."""
        data = b"" if token["special"] else bytes(token["bytes"])
        if data[:1] and not 0x80 <= data[0] < 0xC0:  # begins a character: bytes before it never became one
            self._offset += len(self._decoder.decode(b"", final=True))
        offset = self._offset
        self._offset += len(self._decoder.decode(data))
        return offset


def _alternatives(token: Token, others: list[Token]) -> dict[str, float] | None:
    """The likeliest tokens, and the token itself if it is none of them. Of equal names the likeliest counts."""
    if token["logprob"] is None:
        return None
    named: dict[str, float] = {}
    for other in others:
        named.setdefault(_completion_name(other), other["logprob"])
    return named | {_completion_name(token): token["logprob"]}


def _completion_name(token: Token) -> str:
    return _name(token, "bytes:")
