"""Retelling: the text of a stream of windows, told once it is known to stay.

Of a recording of one window every token's text is told as it comes, up to the end of what a further pass over the
window could take back. Where windows overlap, a later one decides what of an earlier one stays, so a window's last
token brings the text that is settled with it.
"""

from collections.abc import Sequence
from typing import Any

from deployments.audio.whisper.segments import Window, complete, stable
from deployments.audio.whisper.windows import WindowReader
from deployments.generation.request import Completion, GenerationRequest, StreamedToken
from deployments.generation.tgi import Vocabulary


class TranscriptStream:
    """Pieces of the rows of one recording, in order, to pieces with the text that is added to what was told.

    Args:
        reader: of the model.
        windows: one for each row.
        opening: tokens that a row writes before its text.
        ends: tokens that end a pass.
    """

    def __init__(
        self, reader: WindowReader, windows: Sequence[Window], decoder_prompt: int, ends: Sequence[int]
    ) -> None:
        self._reader, self._windows, self._ends = reader, windows, ends
        self._merger = reader.merger()
        self._emitted = ""
        self._prompt_left = decoder_prompt  # tokens of the opening that are still to come
        self._pass: list[int] = []
        self._merged_count = 0  # tokens of it that the joining has heard
        self._is_one = len(windows) == 1
        if self._is_one:
            self._merger.begin(windows[0].stride)

    def __call__(self, segment: StreamedToken) -> StreamedToken:
        text = self._so_far(segment)
        if not text.startswith(self._emitted):  # a tokenizer that takes back what it wrote, a space say
            return segment._replace(text="")
        new, self._emitted = text[len(self._emitted) :], text
        return segment._replace(text=new)

    def _so_far(self, segment: StreamedToken) -> str:
        if segment.is_last and segment.row == len(self._windows) - 1:
            return "".join(each.text for each in self._reader.join(self._windows))
        if self._is_one:
            self._add(segment)
        elif segment.is_last:
            window = self._windows[segment.row]
            self._merger.add(window.tokens_of_window, window.stride)
        else:
            return self._emitted
        return self._merger.stable()

    def _add(self, segment: StreamedToken) -> None:
        if self._prompt_left:
            self._prompt_left -= 1
            return
        if segment.token not in self._ends:
            self._pass.append(segment.token)
        timestamps = self._reader.timestamps
        count = complete(self._pass, timestamps)[0] if segment.is_end else stable(self._pass, timestamps)
        for token in self._pass[self._merged_count : count]:
            self._merger.add_token(token)
        self._merged_count = max(self._merged_count, count)
        if segment.is_end:
            self._pass, self._merged_count = [], 0


def details(
    vocabulary: Vocabulary, requests: Sequence[GenerationRequest], outputs: Sequence[Completion]
) -> dict[str, Any]:
    """The short details. A recording of which any part was cut short was cut short."""
    parts = [part for written in outputs for part in (*written.previous_segments, written)]
    found = vocabulary.details(requests[0], next((part for part in parts if part.finish == "length"), parts[-1]))
    read, completion_tokens = tokens_of(requests, outputs)
    timings = {
        "first_token_s": round(parts[0].first_token_s, 6),
        "total_s": round(max(sum(part.total_s for part in (*row.previous_segments, row)) for row in outputs), 6),
    }
    return found | {"generated_tokens": completion_tokens, "input_length": read, "timings": timings}


def all_details(
    vocabulary: Vocabulary, requests: Sequence[GenerationRequest], outputs: Sequence[Completion]
) -> dict[str, Any]:
    """The long ones: with every token in the order of the recording, also those that another window has in its text."""
    parts = [part for written in outputs for part in (*written.previous_segments, written)]
    long = [vocabulary.all_details(requests[0], part) for part in parts]
    found = {"prefill": [], "tokens": [token for each in long for token in each["tokens"]]}
    if all("top_tokens" in each for each in long):
        found["top_tokens"] = [top for each in long for top in each["top_tokens"]]
    return details(vocabulary, requests, outputs) | found


def tokens_of(requests: Sequence[GenerationRequest], outputs: Sequence[Completion]) -> tuple[int, int]:
    """Tokens of the prompts, and of what was written."""
    parts = [part for written in outputs for part in (*written.previous_segments, written)]
    return sum(generation_request.prompt_tokens for generation_request in requests), sum(
        len(part.tokens) for part in parts
    )
