"""How the text of a recording came about, over all its rows and what each of them was asked."""

from collections.abc import Sequence
from typing import Any

from deployments.generation.answers import Vocabulary
from deployments.generation.ask import Ask, Written


def details(vocabulary: Vocabulary, asks: Sequence[Ask], outputs: Sequence[Written]) -> dict[str, Any]:
    """The short details. A recording of which any part was cut short was cut short."""
    parts = [part for written in outputs for part in (*written.earlier, written)]
    found = vocabulary.details(asks[0], next((part for part in parts if part.finish == "length"), parts[-1]))
    read, written_tokens = tokens_of(asks, outputs)
    timings = {
        "first_token_s": round(parts[0].first_token_s, 6),
        "total_s": round(max(sum(part.total_s for part in (*row.earlier, row)) for row in outputs), 6),
    }
    return found | {"generated_tokens": written_tokens, "input_length": read, "timings": timings}


def all_details(vocabulary: Vocabulary, asks: Sequence[Ask], outputs: Sequence[Written]) -> dict[str, Any]:
    """The long ones: with every token in the order of the recording, also those that another window has in its text."""
    parts = [part for written in outputs for part in (*written.earlier, written)]
    long = [vocabulary.all_details(asks[0], part) for part in parts]
    found = {"prefill": [], "tokens": [token for each in long for token in each["tokens"]]}
    if all("top_tokens" in each for each in long):
        found["top_tokens"] = [top for each in long for top in each["top_tokens"]]
    return details(vocabulary, asks, outputs) | found


def tokens_of(asks: Sequence[Ask], outputs: Sequence[Written]) -> tuple[int, int]:
    """Tokens of the prompts, and of what was written."""
    parts = [part for written in outputs for part in (*written.earlier, written)]
    return sum(ask.prompt_tokens for ask in asks), sum(len(part.tokens) for part in parts)
