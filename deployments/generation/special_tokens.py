"""The special tokens of a tokenizer: those that `decode(…, skip_special_tokens=True)` leaves out."""

from typing import Any


def special_tokens(tokenizer: Any) -> dict[str, int]:
    """Their ids by name: those with a role, such as the end, and those that only the vocabulary marks as special."""
    named = dict(
        zip(getattr(tokenizer, "all_special_tokens", ()), getattr(tokenizer, "all_special_ids", ()), strict=True)
    )
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return named | {token.content: number for number, token in added.items() if token.special}
