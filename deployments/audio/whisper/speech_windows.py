"""Packs stretches of speech into windows that begin and end in silence.

As in WhisperX (Bain et al. 2023, "cut and merge") and faster-whisper's batches: a window holds as many stretches as
fit, with the long pauses between them shortened, and is read by itself. `Clock` maps the model's times back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from deployments.audio.voice_activity import Span

MARGIN_S = 0.4  # of silence that is kept on either side of a stretch
FULL = 0.85  # of a window's length; the longest pause behind this part of it ends the window


@dataclass(frozen=True, slots=True)
class Clock:
    """Maps seconds of a window to seconds of the recording.

    A time that the model puts into a pause is moved to where speech begins or ends: at the seam of a shortened pause,
    the same second of the window is two of the recording.

    Attributes:
        parts: of the recording, in seconds, that the window consists of, one behind the other; empty if the window
            begins with the recording and nothing is cut out.
        speech: stretches of speech in them, in seconds of the recording; empty if times are not moved.
        end: of the recording, in seconds.
    """

    parts: tuple[tuple[float, float], ...] = ()
    speech: tuple[tuple[float, float], ...] = ()
    end: float = float("inf")

    def start(self, seconds: float) -> float:
        """The second of the recording at which something begins."""
        time = self.position(seconds)
        stretch = next((each for each in self.speech if time < each[1]), None)
        return time if stretch is None else max(time, stretch[0])

    def stop(self, seconds: float) -> float:
        """The second of the recording at which something ends."""
        time = self.position(seconds)
        stretch = next((each for each in reversed(self.speech) if time > each[0]), None)
        return time if stretch is None else min(time, stretch[1])

    def position(self, seconds: float) -> float:
        """The second of the recording that a second of the window is."""
        if not self.parts:
            return min(seconds, self.end)
        left = seconds
        for start, stop in self.parts:
            if left <= stop - start:
                return start + left
            left -= stop - start
        return self.parts[-1][1]


@dataclass(frozen=True, slots=True)
class SpeechWindow:
    """Parts of a recording that are read together, and the stretches of speech in them, in samples."""

    parts: tuple[Span, ...]
    speech: tuple[Span, ...]

    @property
    def length(self) -> int:
        return sum(part.length for part in self.parts)

    def clock(self, sampling_rate: int) -> Clock:
        """Maps its times to those of the recording."""
        parts, speech = (
            tuple((span.start / sampling_rate, span.stop / sampling_rate) for span in spans)
            for spans in (self.parts, self.speech)
        )
        return Clock(parts, speech, parts[-1][1])


def pack(stretches: Sequence[Span], samples: int, length: int, sampling_rate: int) -> Iterator[SpeechWindow]:
    """Windows of at most `length` samples; only a stretch that is longer by itself makes a longer one.

    Args:
        stretches: of speech, in order.
        samples: of the recording.
        length: of a window, in samples.
        sampling_rate: in Hz.
    """
    margin = round(MARGIN_S * sampling_rate)
    first = 0
    while first < len(stretches):
        last = _last(stretches, first, samples, length, margin)
        yield _window(stretches, first, last, samples, margin)
        first = last + 1


def _last(stretches: Sequence[Span], first: int, samples: int, length: int, margin: int) -> int:
    """The last stretch of the window that begins with stretch `first`: all that are left, or up to a long pause."""
    fitting = [first]
    for last in range(first + 1, len(stretches)):
        if _window(stretches, first, last, samples, margin).length > length:
            break
        fitting.append(last)
    if fitting[-1] == len(stretches) - 1:
        return fitting[-1]
    full = [
        last for last in fitting if _window(stretches, first, last, samples, margin).length >= FULL * length
    ] or fitting[-1:]
    return max(full, key=lambda last: (stretches[last + 1].start - stretches[last].stop, last))


def _window(stretches: Sequence[Span], first: int, last: int, samples: int, margin: int) -> SpeechWindow:
    """Stretches `first` to `last` with their margins. Windows share the pause between them, half for each."""
    before = stretches[first - 1].stop if first else 0
    after = stretches[last + 1].start if last + 1 < len(stretches) else samples
    speech = tuple(stretches[first : last + 1])
    halves = (2 if first else 1), (2 if last + 1 < len(stretches) else 1)
    start = speech[0].start - min(margin, (speech[0].start - before) // halves[0])
    stop = speech[-1].stop + min(margin, (after - speech[-1].stop) // halves[1])
    parts, begin = [], start
    for left, right in pairwise(speech):
        if right.start - left.stop > 2 * margin:
            parts.append(Span(begin, left.stop + margin))
            begin = right.start - margin
    return SpeechWindow((*parts, Span(begin, stop)), speech)
