"""Streams the transcript of a recording; text is emitted once it is final.

With a single window, each token's text is emitted at once, except text that another pass over the window may change.
Overlapping windows change each other's text, so the text of a window is emitted with its last token, as far as it is
final then. Of windows that do not overlap, the text of a pass is emitted once the pass is kept.
"""

from collections.abc import Sequence
from typing import Any

from deployments.audio.whisper.reader import WindowReader
from deployments.audio.whisper.segments import Window, complete, stable
from deployments.generation.request import Completion, GenerationRequest, StreamedToken
from deployments.generation.tgi import Vocabulary


class TranscriptStream:
    """Replaces the text of each streamed token by the newly final text of the recording.

    Args:
        reader: the model's window reader.
        windows: one window per sequence.
        prompt_length: tokens that each sequence generates before its text.
        eos_token_ids: tokens that end a pass.
    """

    def __init__(
        self, reader: WindowReader, windows: Sequence[Window], prompt_length: int, eos_token_ids: Sequence[int]
    ) -> None:
        self._reader, self._windows, self._eos_token_ids = reader, windows, eos_token_ids
        self._merger = reader.merger()
        self._emitted = ""
        self._prompt_left = prompt_length  # tokens still to come before the text
        self._pass: list[int] = []
        self._merged_count = 0  # of the tokens in `_pass`
        self._is_one = len(windows) == 1
        if self._is_one:
            self._merger.begin(windows[0].stride)

    def __call__(self, token: StreamedToken) -> StreamedToken:
        text = self._final_text(token)
        if not text.startswith(self._emitted):  # the tokenizer changed earlier text, such as a space
            return token._replace(text="")
        new, self._emitted = text[len(self._emitted) :], text
        return token._replace(text=new)

    def _final_text(self, token: StreamedToken) -> str:
        if token.is_last and token.row == len(self._windows) - 1:
            return "".join(each.text for each in self._reader.join(self._windows))
        if self._is_one:
            self._add(token)
        elif token.is_last:
            window = self._windows[token.row]
            self._merger.add(window.window_tokens, window.stride)
        else:
            return self._emitted
        return self._merger.stable()

    def _add(self, token: StreamedToken) -> None:
        if self._prompt_left:
            self._prompt_left -= 1
            return
        if token.token not in self._eos_token_ids:
            self._pass.append(token.token)
        timestamps = self._reader.timestamps
        count = complete(self._pass, timestamps)[0] if token.is_end else stable(self._pass, timestamps)
        for text_token in self._pass[self._merged_count : count]:
            self._merger.add_token(text_token)
        self._merged_count = max(self._merged_count, count)
        if token.is_end:
            self._pass, self._merged_count = [], 0


class PassStream:
    """Replaces the text of each streamed token by that of the passes that were kept since the token before.

    Args:
        reader: the model's window reader.
        windows: one window per sequence.
    """

    def __init__(self, reader: WindowReader, windows: Sequence[Window]) -> None:
        self._reader, self._windows = reader, windows
        self._emitted = 0  # characters

    def __call__(self, token: StreamedToken) -> StreamedToken:
        if not token.is_end:
            return token._replace(text="")
        text = self._reader.text(self._windows[: token.row + 1])
        new, self._emitted = text[self._emitted :], len(text)
        return token._replace(text=new)


def details(
    vocabulary: Vocabulary, requests: Sequence[GenerationRequest], outputs: Sequence[Completion]
) -> dict[str, Any]:
    """The details without tokens. The finish reason is "length" if any part reached its limit."""
    parts = _parts(outputs)
    answer = vocabulary.details(requests[0], next((part for part in parts if part.finish == "length"), parts[-1]))
    prompt_tokens, completion_tokens = tokens_of(requests, outputs)
    timings = {
        "first_token_s": round(parts[0].first_token_s, 6),
        "total_s": round(max(sum(part.total_s for part in (*row.previous_segments, row)) for row in outputs), 6),
    }
    return answer | {"generated_tokens": completion_tokens, "input_length": prompt_tokens, "timings": timings}


def all_details(
    vocabulary: Vocabulary, requests: Sequence[GenerationRequest], outputs: Sequence[Completion]
) -> dict[str, Any]:
    """The details with every token of every window in order, including those that merging drops from the text."""
    parts = [vocabulary.all_details(requests[0], part) for part in _parts(outputs)]
    tokens = {"prefill": [], "tokens": [token for part in parts for token in part["tokens"]]}
    if all("top_tokens" in part for part in parts):
        tokens["top_tokens"] = [top for part in parts for top in part["top_tokens"]]
    return details(vocabulary, requests, outputs) | tokens


def tokens_of(requests: Sequence[GenerationRequest], outputs: Sequence[Completion]) -> tuple[int, int]:
    """Prompt tokens and completion tokens of all windows and passes."""
    return sum(each.prompt_tokens for each in requests), sum(len(part.tokens) for part in _parts(outputs))


def _parts(outputs: Sequence[Completion]) -> list[Completion]:
    """The completions of all passes, in the order of the recording."""
    return [part for output in outputs for part in (*output.previous_segments, output)]
