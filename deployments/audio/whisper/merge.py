"""Merges the transcripts of overlapping windows into one text with timestamps.

The algorithm is that of transformers' pipeline (`_decode_asr` of Whisper's tokenizer), made incremental: windows are
added one at a time, so a stream can emit the text that no later window changes. Two overlapping windows are aligned so
that most tokens match; of the matching part the left half comes from the earlier window, the right half from the later
one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

INCOMPLETE = "\ufffd"  # decoded from bytes that do not complete a character yet
STEPS = 1500  # timestamp steps in a whole window


class WindowTokens(NamedTuple):
    """The tokens of a window. `token_times`: the second in the window at which each token ends, if known."""

    tokens: Sequence[int]
    token_times: Sequence[float] = ()


class Stride(NamedTuple):
    """Length of a window in seconds, and its overlaps with the previous and the next one."""

    length: float
    left: float
    right: float


class TimedToken(NamedTuple):
    """A token with its start and end in seconds, if known."""

    token: int
    start: float = 0.0
    end: float = 0.0


@dataclass(slots=True)
class Segment:
    """A segment of the text with its start and end in seconds. `end` is None if the model gave no timestamp."""

    text: str
    tokens: list[TimedToken]
    start: float | None = None
    end: float | None = None


@dataclass(slots=True)
class MergedTokens:
    """Overlapping sequences, merged: `fixed` is final, the end of `last` may be replaced by the next sequence."""

    fixed: list[TimedToken] = field(default_factory=list)
    last: list[TimedToken] | None = None

    def add(self, sequence: list[TimedToken]) -> None:
        if self.last is None:
            self.last = sequence
            return
        left, right = overlap(self.last, sequence)
        self.fixed += self.last[:left]
        self.last = sequence[right:]

    @property
    def all(self) -> list[TimedToken]:
        return self.fixed + (self.last or [])


class TranscriptMerger:
    """Merges the windows of one recording.

    Args:
        tokenizer: a tokenizer whose timestamp tokens follow `<|notimestamps|>`.
        step: seconds between two timestamp tokens.

    Attributes:
        segments: the completed segments.
    """

    def __init__(self, tokenizer: Any, step: float) -> None:
        self._tokenizer, self._step = tokenizer, step
        self._special = frozenset(tokenizer.all_special_ids)
        self._begin: int = tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1
        self.segments: list[Segment] = []
        self._merged = MergedTokens()
        self._start: float | None = None  # of the open segment
        self._offset = 0.0  # of the window, in seconds
        self._skips = False
        self._current: list[TimedToken] = []
        self._window = _Window(0.0, None)

    def begin(self, stride: Stride, tokens: Sequence[int] = ()) -> None:
        """Begin a window. `tokens`: all of its tokens, unless it is the last window."""
        self._offset -= stride.left
        first = stride.left / self._step + self._begin if stride.left else float(self._begin)
        self._window = _Window(first, self._last_time(stride, tokens) if stride.right else None)
        self._current = []

    def add_token(self, token: int, start: float = 0.0, end: float = 0.0) -> None:
        """Add the window's next token, with its start and end in seconds from the start of the window."""
        self._window.window_tokens.append(token)
        if token in self._special:
            return
        if token >= self._begin:
            self._add_timestamp(token)
        else:
            timed = TimedToken(token, round(start + self._offset, 2), round(end + self._offset, 2))
            self._current.append(timed)

    def end(self, stride: Stride) -> None:
        """End the window."""
        self._offset += stride.length - stride.right
        if self._current:
            self._merged.add(self._current)
            self._current = []
        elif not self._merged.all:
            self._open_segment()

    def add(self, window_tokens: WindowTokens, stride: Stride) -> None:
        """Add a whole window."""
        self.begin(stride, window_tokens.tokens)
        ends = window_tokens.token_times or [0.0] * len(window_tokens.tokens)
        for token, start, end in zip(window_tokens.tokens, [0.0, *ends][:-1], ends, strict=True):
            self.add_token(token, start, end)
        self.end(stride)

    def finish(self) -> list[Segment]:
        """All segments. Call it after the last window has ended."""
        if self._merged.last is not None:
            self._close_segment(None)
        return self.segments

    def stable(self) -> str:
        """The text that no later token or window changes; with a single window, all of its text so far."""
        open_tokens = self._merged.fixed if self._merged.last is not None else self._current
        text: str = self._tokenizer.decode([timed.token for timed in open_tokens])
        return "".join(segment.text for segment in self.segments) + text.rstrip(INCOMPLETE)

    def _last_time(self, stride: Stride, tokens: Sequence[int]) -> int | None:
        """The timestamp token from which on the next window decides where segments end."""
        found = None
        for token in reversed(tokens):
            if token >= self._begin:
                is_before = (token - self._begin) * self._step < stride.length - stride.right
                if found is not None and is_before:
                    break
                found = token
        return found

    def _add_timestamp(self, token: int) -> None:
        window = self._window
        window.update(token, self._begin, self._step)
        time = round((token - self._begin) * self._step + self._offset + window.pass_offset, 2)
        if window.last and token >= window.last:
            self._skips = True  # timestamps come in pairs; the second one would begin a segment
        elif self._skips or (self._merged.last is not None and token < window.first):
            self._skips = False
        elif self._start is None:
            self._start = time
        elif time != self._start:  # else the model has repeated a timestamp
            self._merged.add(self._current)
            self._close_segment(time)

    def _close_segment(self, end: float | None) -> None:
        tokens = self._merged.all
        text = self._tokenizer.decode([timed.token for timed in tokens])
        self.segments.append(Segment(text, tokens, self._start, end))
        self._open_segment()

    def _open_segment(self) -> None:
        self._merged, self._current, self._start = MergedTokens(), [], None


@dataclass(slots=True)
class _Window:
    """Timestamps of a window, which may have been decoded in several passes that each start at 0.

    Attributes:
        first: timestamp token before which the previous window decides where segments end.
        last: timestamp token from which on the next window decides.
        window_tokens: the tokens so far.
        pass_offset: seconds of the passes before the current one.
    """

    first: float
    last: int | None
    window_tokens: list[int] = field(default_factory=list)
    pass_offset: float = 0.0
    _largest: float = 0.0
    _before: float = 0.0  # the timestamp before that

    def update(self, token: int, begin: int, step: float) -> None:
        """Take a timestamp token into account, the last one of `window_tokens`."""
        time = float((token - begin) * step)
        if time < self._largest:
            after = self.window_tokens[-3:-1]
            if len(after) == 2 and not all(other >= begin for other in after):
                self.pass_offset += step * STEPS
            else:
                self._largest = self._before
                self.pass_offset += self._before
        self._before, self._largest = self._largest, time


def overlap(left: Sequence[TimedToken], right: Sequence[TimedToken]) -> tuple[int, int]:
    """How many tokens of `left` to keep, and how many of `right` to drop, to concatenate the two.

    Of all alignments the one with the largest share of matching tokens wins, if at least two match. Where there are
    times, those of `right` must not precede those of `left`.
    """
    import numpy as np

    length, other = len(left), len(right)
    if not length or not other:
        return length, 0
    tokens, starts, ends = np.array(left).T[:, :, None]
    right_tokens, right_starts, right_ends = np.array(right).T[:, None, :]
    in_order = (starts < right_starts) | ((starts == right_starts) & (ends <= right_ends))
    rows, columns = np.nonzero((tokens == right_tokens) & in_order)
    shifts = np.arange(1, length + other)
    matches = np.bincount(columns - rows + length, minlength=length + other)[1:]
    share = np.where(matches > 1, matches / shifts + shifts / 10000.0, 0.0)
    if not share.any():
        return length, 0
    shift = int(shifts[share.argmax()])
    left_middle = (min(length, length + other - shift) + max(0, length - shift)) // 2
    right_middle = (min(other, shift) + max(0, shift - length)) // 2
    return left_middle, right_middle
