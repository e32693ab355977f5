"""Retelling: the text of a stream of windows, told once it is known to stay.

Of a recording of one window every token's text is told as it comes, up to the end of what a further pass over the
window could take back. Where windows overlap, a later one decides what of an earlier one stays, so a window's last
token brings the text that is settled with it.
"""

from collections.abc import Sequence
from typing import Any

from deployments.audio.whisper.segments import Window, kept, settled
from deployments.audio.whisper.windows import Windows
from deployments.generation.request import Ask, Piece, Written
from deployments.generation.tgi import Vocabulary


class Retelling:
    """Pieces of the rows of one recording, in order, to pieces with the text that is added to what was told.

    Args:
        reader: of the model.
        windows: one for each row.
        opening: tokens that a row writes before its text.
        ends: tokens that end a pass.
    """

    def __init__(self, reader: Windows, windows: Sequence[Window], opening: int, ends: Sequence[int]) -> None:
        self._reader, self._windows, self._ends = reader, windows, ends
        self._joining = reader.joining()
        self._told = ""
        self._unsaid = opening  # tokens of the opening that are still to come
        self._pass: list[int] = []
        self._heard = 0  # tokens of it that the joining has heard
        self._is_one = len(windows) == 1
        if self._is_one:
            self._joining.begin(windows[0].stride)

    def __call__(self, piece: Piece) -> Piece:
        text = self._so_far(piece)
        if not text.startswith(self._told):  # a tokenizer that takes back what it wrote, a space say
            return piece._replace(text="")
        new, self._told = text[len(self._told) :], text
        return piece._replace(text=new)

    def _so_far(self, piece: Piece) -> str:
        if piece.is_last and piece.row == len(self._windows) - 1:
            return "".join(each.text for each in self._reader.join(self._windows))
        if self._is_one:
            self._hear_on(piece)
        elif piece.is_last:
            window = self._windows[piece.row]
            self._joining.add(window.heard, window.stride)
        else:
            return self._told
        return self._joining.settled()

    def _hear_on(self, piece: Piece) -> None:
        if self._unsaid:
            self._unsaid -= 1
            return
        if piece.token not in self._ends:
            self._pass.append(piece.token)
        clock = self._reader.clock
        count = kept(self._pass, clock)[0] if piece.is_end else settled(self._pass, clock)
        for token in self._pass[self._heard : count]:
            self._joining.hear(token)
        self._heard = max(self._heard, count)
        if piece.is_end:
            self._pass, self._heard = [], 0


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
