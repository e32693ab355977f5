"""Segments of a transcript with openai/whisper's fields, made of the passes over windows that do not overlap."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deployments.audio.whisper.figures import Figures
from deployments.audio.whisper.merge import Segment, TimedToken
from deployments.audio.whisper.segments import Pass, TimestampTokens, Window


@dataclass(frozen=True, slots=True)
class TranscriptSegment:
    """A segment of a transcript. Times are seconds of the recording.

    Attributes:
        seek: hundredths of a second at which its pass begins.
        tokens: with its timestamp tokens.
        words: its text tokens, with their times if they are known.
        figures: of its pass, if they were recorded.
    """

    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    words: list[TimedToken]
    figures: Figures | None


class TranscriptReader:
    """Reads the segments of windows.

    Args:
        tokenizer: of the model.
        timestamps: its timestamp tokens.
        step: seconds between two timestamp tokens.
    """

    def __init__(self, tokenizer: Any, timestamps: TimestampTokens, step: float) -> None:
        self._tokenizer, self._timestamps, self._step = tokenizer, timestamps, step
        self._special = frozenset(tokenizer.all_special_ids)

    def segments(self, windows: Sequence[Window]) -> list[TranscriptSegment]:
        """The segments of all windows, in order; none is empty, and none ends before it begins."""
        segments: list[TranscriptSegment] = []
        for window in windows:
            for finished in window.passes:
                segments += self._of_pass(window, finished)
        return segments

    def text(self, window: Window) -> str:
        """The text of a window so far."""
        return "".join(segment.text for finished in window.passes for segment in self._of_pass(window, finished))

    def _of_pass(self, window: Window, finished: Pass) -> Iterator[TranscriptSegment]:
        tokens, times = finished.window_tokens.tokens, finished.window_tokens.token_times
        ends = times or [0.0] * len(tokens)
        began = finished.start * self._step / self._timestamps.positions
        length = min(window.size, window.positions - finished.start) * self._step / self._timestamps.positions
        seek = round(100 * window.clock.position(began))
        for first, stop in self._slices(tokens):
            piece = tokens[first:stop]
            plain = [i for i in range(first, stop) if self._is_text(tokens[i])]
            text: str = self._tokenizer.decode([tokens[i] for i in plain])
            if not text.strip():
                continue
            start = window.clock.start(began + (self._time(piece[0]) or 0.0))
            end_time = self._time(piece[-1])
            end = window.clock.stop(began + (max(0.0, length) if end_time is None else end_time))
            words = [
                TimedToken(
                    tokens[i],
                    round(window.clock.start(ends[i - 1] if i else began), 2),
                    round(window.clock.stop(ends[i]), 2),
                )
                for i in plain
            ]
            yield TranscriptSegment(
                seek, round(start, 2), round(max(start, end), 2), text, list(piece), words, finished.figures
            )

    def _slices(self, tokens: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Parts of a pass between pairs of timestamps: the first of a pair ends one, the second begins the next."""
        is_time = [self._timestamps.is_time(token) for token in tokens]
        begin = 0
        for i in range(1, len(tokens)):
            if is_time[i] and is_time[i - 1]:
                yield begin, i
                begin = i
        if begin < len(tokens):
            yield begin, len(tokens)

    def _time(self, token: int) -> float | None:
        """Seconds in the pass of a timestamp token; None for another token."""
        begin = self._timestamps.begin
        return None if begin is None or token < begin else (token - begin) * self._step

    def _is_text(self, token: int) -> bool:
        return not self._timestamps.is_time(token) and token not in self._special


def of_merged(segments: Sequence[Segment], seconds: float) -> list[TranscriptSegment]:
    """Segments of merged windows, which have no figures.

    Args:
        segments: in order; one without an end lasts to the end of the recording.
        seconds: length of the recording.
    """
    timed = []
    for segment in segments:
        start = segment.start or 0.0
        end = seconds if segment.end is None else segment.end
        tokens = [each.token for each in segment.tokens]
        if segment.text.strip():
            timed.append(
                TranscriptSegment(
                    round(100 * start), start, max(start, end), segment.text, tokens, segment.tokens, None
                )
            )
    return timed


def fields_of(segments: Sequence[TranscriptSegment]) -> list[dict[str, Any]]:
    """Segments with the fields of openai/whisper and of OpenAI's API; figures that were not recorded are None."""
    return [
        {
            "id": number,
            "seek": segment.seek,
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
            "tokens": segment.tokens,
            **(dict.fromkeys(Figures.__dataclass_fields__) if segment.figures is None else asdict(segment.figures)),
        }
        for number, segment in enumerate(segments)
    ]
