"""Joining: what was heard in overlapping windows, as one text with its times.

The algorithm is that of transformers' pipeline (`_decode_asr` of Whisper's tokenizer), in a form that takes window
after window, so that a stream can tell of a text what no later window changes. Where two windows overlap, they are laid
upon each other so that most tokens agree; the left half of what agrees is the earlier window's, the right half the
later one's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

INCOMPLETE = "\ufffd"  # what a tokenizer writes for bytes that are no character yet


class WindowTokens(NamedTuple):
    """What was heard in a window. `token_times`: of each token, the second in the window at which it ends, if known."""

    tokens: Sequence[int]
    token_times: Sequence[float] = ()


class Stride(NamedTuple):
    """Seconds of a window, and how many of them it shares with the one before it and the next."""

    length: float
    left: float
    right: float


class Word(NamedTuple):
    """A token, and from when to when it was said, where that is known."""

    token: int
    start: float = 0.0
    end: float = 0.0


@dataclass(slots=True)
class Segment:
    """A piece of the text, and when it was said. `end` is None where the model did not say."""

    text: str
    words: list[Word]
    start: float | None = None
    end: float | None = None


@dataclass(slots=True)
class MergedTokens:
    """Sequences that overlap, as one: `fixed` stays, `last` may give way to the next one."""

    fixed: list[Word] = field(default_factory=list)
    last: list[Word] | None = None

    def add(self, sequence: list[Word]) -> None:
        if self.last is None:
            self.last = sequence
            return
        left, right = overlap(self.last, sequence)
        self.fixed += self.last[:left]
        self.last = sequence[right:]

    @property
    def all(self) -> list[Word]:
        return self.fixed + (self.last or [])


class TranscriptMerger:
    """The text of one recording, window after window.

    Args:
        tokenizer: of the text, with a token `<|notimestamps|>` in front of those that tell times.
        step: seconds from one of these to the next.

    Attributes:
        pieces: that are complete.
    """

    def __init__(self, tokenizer: Any, step: float) -> None:
        self._tokenizer, self._step = tokenizer, step
        self._special = frozenset(tokenizer.all_special_ids)
        self._begin: int = tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1
        self.segments: list[Segment] = []
        self._merged = MergedTokens()
        self._start: float | None = None  # of the piece that is open
        self._offset = 0.0  # of the window, in seconds
        self._skips = False
        self._current: list[Word] = []
        self._window = _Window(0.0, None)

    def begin(self, stride: Stride, tokens: Sequence[int] = ()) -> None:
        """A window begins. `tokens`: all of its own, where it is not the last one."""
        self._offset -= stride.left
        first = stride.left / self._step + self._begin if stride.left else float(self._begin)
        self._window = _Window(first, self._last_time(stride, tokens) if stride.right else None)
        self._current = []

    def add_token(self, token: int, start: float = 0.0, end: float = 0.0) -> None:
        """The window's next token, and from when to when in it that was said."""
        self._window.tokens_of_window.append(token)
        if token in self._special:
            return
        if token >= self._begin:
            self._pass_time(token)
        else:
            word = Word(token, round(start + self._offset, 2), round(end + self._offset, 2))
            self._current.append(word)

    def end(self, stride: Stride) -> None:
        """The window is over."""
        self._offset += stride.length - stride.right
        if self._current:
            self._merged.add(self._current)
            self._current = []
        elif not self._merged.all:
            self._open()

    def add(self, tokens_of_window: WindowTokens, stride: Stride) -> None:
        """A whole window."""
        self.begin(stride, tokens_of_window.tokens)
        ends = tokens_of_window.token_times or [0.0] * len(tokens_of_window.tokens)
        for token, start, end in zip(tokens_of_window.tokens, [0.0, *ends][:-1], ends, strict=True):
            self.add_token(token, start, end)
        self.end(stride)

    def finish(self) -> list[Segment]:
        """All pieces, once the last window is over."""
        if self._merged.last is not None:
            self._close(None)
        return self.segments

    def stable(self) -> str:
        """The text that no later token or window changes; of the only window, all that is there."""
        open_words = self._merged.fixed if self._merged.last is not None else self._current
        text: str = self._tokenizer.decode([word.token for word in open_words])
        return "".join(segment.text for segment in self.segments) + text.rstrip(INCOMPLETE)

    def _last_time(self, stride: Stride, tokens: Sequence[int]) -> int | None:
        """The time from which on the window leaves it to the next one to say where pieces end."""
        found = None
        for token in reversed(tokens):
            if token >= self._begin:
                is_before = (token - self._begin) * self._step < stride.length - stride.right
                if found is not None and is_before:
                    break
                found = token
        return found

    def _pass_time(self, token: int) -> None:
        window = self._window
        window.look(token, self._begin, self._step)
        time = round((token - self._begin) * self._step + self._offset + window.pass_offset, 2)
        if window.last and token >= window.last:
            self._skips = True  # times come in pairs, and the second one would begin a piece
        elif self._skips or (self._merged.last is not None and token < window.first):
            self._skips = False
        elif self._start is None:
            self._start = time
        elif time != self._start:  # else a time that the model has said twice
            self._merged.add(self._current)
            self._close(time)

    def _close(self, end: float | None) -> None:
        words = self._merged.all
        text = self._tokenizer.decode([word.token for word in words])
        self.segments.append(Segment(text, words, self._start, end))
        self._open()

    def _open(self) -> None:
        self._merged, self._current, self._start = MergedTokens(), [], None


@dataclass(slots=True)
class _Window:
    """Times of a window that was perhaps heard in several passes: each begins again at 0.

    Attributes:
        first: time up to which the window before has the word.
        last: time from which on the next one has it.
        heard: its tokens so far.
        passes: seconds of the passes before the one that is heard.
    """

    first: float
    last: int | None
    tokens_of_window: list[int] = field(default_factory=list)
    pass_offset: float = 0.0
    _largest: float = 0.0
    _before: float = 0.0  # the one but largest

    def look(self, token: int, begin: int, step: float) -> None:
        """Take up a time that was just heard."""
        time = float((token - begin) * step)
        if time < self._largest:
            after = self.tokens_of_window[-3:-1]
            if len(after) == 2 and not all(other >= begin for other in after):
                self.pass_offset += step * STEPS
            else:
                self._largest = self._before
                self.pass_offset += self._before
        self._before, self._largest = self._largest, time


STEPS = 1500  # of a whole window


def overlap(left: Sequence[Word], right: Sequence[Word]) -> tuple[int, int]:
    """How many words of `left` stay in front of `right`, and how many of `right` give way.

    The two are laid upon each other in every way; that wins in which the largest share of words agrees, and not
    one alone. Times, where there are any, must agree with the order of the two.
    """
    import numpy as np

    length, other = len(left), len(right)
    if not length or not other:
        return length, 0
    tokens, starts, ends = np.array(left).T[:, :, None]
    their_tokens, their_starts, their_ends = np.array(right).T[:, None, :]
    in_order = (starts < their_starts) | ((starts == their_starts) & (ends <= their_ends))
    rows, columns = np.nonzero((tokens == their_tokens) & in_order)
    shifts = np.arange(1, length + other)
    matches = np.bincount(columns - rows + length, minlength=length + other)[1:]
    share = np.where(matches > 1, matches / shifts + shifts / 10000.0, 0.0)
    if not share.any():
        return length, 0
    shift = int(shifts[share.argmax()])
    left_middle = (min(length, length + other - shift) + max(0, length - shift)) // 2
    right_middle = (min(other, shift) + max(0, shift - length)) // 2
    return left_middle, right_middle
