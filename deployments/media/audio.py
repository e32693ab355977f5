"""Bytes to a waveform: decoded, mixed to one channel and resampled frame by frame, so that a limit ends it in time."""

import threading
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from deployments.errors import InvalidInput, ServiceError, TooLarge
from deployments.media.container import Recording
from deployments.media.content import Media
from deployments.media.limits import MediaLimits

if TYPE_CHECKING:
    import numpy as np
    from av.audio.frame import AudioFrame

    Samples = np.ndarray[Any, np.dtype[np.float32]]

MIN_RATE, MAX_RATE = 1_000, 768_000
BLOCK = 1 << 15  # samples that are checked and resampled together
GROWTH = 1 << 20  # most samples by which the result grows

# Decoding goes back and forth between Python and FFmpeg several times a frame. Two threads that do so hand each other
# the interpreter all the time, and together get less done than one. So they take turns, a block each; resampling goes
# on beside.
_TURN = threading.Lock()


def read_audio(media: Media, sampling_rate: int, limits: MediaLimits, *, what: str = "inputs") -> "Samples":
    """The recording's first stream of sound as `[samples]`, float32, full scale at 1.

    Channels are averaged. Where the rate is right already, the samples are exactly the recording's (16 bits: divided
    by 32,768). Memory: the result and about 10 MB.

    Args:
        media: the file.
        sampling_rate: samples per second that are wanted.
        limits: decoding ends where `max_audio_seconds` is passed, whatever the header says.
        what: names the input in messages.

    Raises:
        UnsupportedMedia: no sound, or in a format that is not read.
        TooLarge: longer than `limits.max_audio_seconds`.
        InvalidInput: empty, damaged, cut short, or with impossible rates, channels or samples.
    """
    data = media.content(what)
    kind = "recording"
    try:
        with Recording(data, what) as recording:
            kind = recording.kind
            return _decode(recording, sampling_rate, limits.max_audio_seconds)
    except ServiceError:
        raise
    except Exception as error:  # FFmpeg's errors, and what a crafted header makes of the bindings
        raise InvalidInput(f"{what} is a {kind} that is damaged or ends too early") from error


def _decode(recording: Recording, sampling_rate: int, max_seconds: float) -> "Samples":
    frames = recording.frames()
    with _TURN:
        first = next(frames, None)
    if first is None:
        raise InvalidInput(f"{recording.what} holds no sound")
    track = Track(_rate(first, recording.what), sampling_rate, recording.what)
    frames = chain([first], frames)
    while _take_block(frames, track, max_seconds):
        track.flush()
    if not track.decoded:
        raise InvalidInput(f"{recording.what} holds no sound")
    recording.require_whole(track.seconds)
    return track.finish()


def _take_block(frames: Iterator["AudioFrame"], track: "Track", max_seconds: float) -> bool:
    """Decode about `BLOCK` samples onto the track; False at the end."""
    with _TURN:
        for frame in frames:
            if frame.sample_rate != track.rate:
                raise InvalidInput(f"{track.what} changes its sampling rate at {track.seconds:,.2f} s")
            if track.decoded + frame.samples > max_seconds * track.rate:
                raise TooLarge(f"{track.what} is longer than {max_seconds:,g} s, which is limits.max_audio_seconds")
            if track.add(_mono(frame)) >= BLOCK:
                return True
    return False


def _rate(frame: "AudioFrame", what: str) -> int:
    if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
        raise InvalidInput(
            f"{what} has a sampling rate of {frame.sample_rate:,} Hz; {MIN_RATE:,} to {MAX_RATE:,} are read"
        )
    return frame.sample_rate


def _mono(frame: "AudioFrame") -> "Samples":
    """One frame as `[samples]`, full scale at 1."""
    import numpy as np

    values: np.ndarray[Any, Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(frame.samples, -1).T
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    with np.errstate(all="ignore"):  # what is not finite is refused later, with its place
        samples: Samples = values.astype(np.float32)
        if kind == "u":
            samples -= np.float32(128)
        if kind in "iu":
            samples *= np.float32(2.0 ** (1 - bits))
        mono: Samples = samples[0] if len(samples) == 1 else samples.mean(axis=0)
    return mono


class Track:
    """A waveform that grows.

    Args:
        rate: samples per second that come in.
        sampling_rate: samples per second that are kept.
        what: names the input in messages.

    Attributes:
        decoded: samples that came in.
    """

    def __init__(self, rate: int, sampling_rate: int, what: str) -> None:
        import numpy as np
        import soxr

        self.rate = rate
        self.decoded = 0
        self.what = what
        self._resampler = None if rate == sampling_rate else soxr.ResampleStream(rate, sampling_rate, 1, quality="HQ")
        self._waiting: list[Samples] = []
        self._waiting_samples = 0
        self._samples: Samples = np.empty(0, np.float32)
        self._length = 0

    @property
    def seconds(self) -> float:
        """How much came in."""
        return self.decoded / self.rate

    def add(self, samples: "Samples") -> int:
        """Take up `[samples]` at the incoming rate. Returns how many wait to be flushed."""
        self._waiting.append(samples)
        self._waiting_samples += len(samples)
        self.decoded += len(samples)
        return self._waiting_samples

    def finish(self) -> "Samples":
        """The whole waveform, at the wanted rate. Nothing can be added afterwards."""
        self.flush(last=True)
        self._samples.resize(self._length, refcheck=False)
        return self._samples

    def flush(self, *, last: bool = False) -> None:
        """Resample what waits.

        Raises:
            InvalidInput: samples that are not finite.
        """
        import numpy as np

        block = np.concatenate(self._waiting) if self._waiting else np.empty(0, np.float32)
        self._require_finite(block)
        self._waiting, self._waiting_samples = [], 0
        self._append(block if self._resampler is None else self._resampler.resample_chunk(block, last=last))

    def _append(self, samples: "Samples") -> None:
        """In place: large memory is moved to more room without copying, and never twice there.

        New room is filled with zeros, so a short recording must not get that of a long one.
        """
        end = self._length + len(samples)
        if end > len(self._samples):
            self._samples.resize(end + min(end, GROWTH), refcheck=False)
        self._samples[self._length : end] = samples
        self._length = end

    def _require_finite(self, block: "Samples") -> None:
        import numpy as np

        finite = np.isfinite(block)
        if not finite.all():
            second = (self.decoded - len(block) + int(finite.argmin())) / self.rate
            raise InvalidInput(f"{self.what} has a sample that is not a finite number at {second:,.3f} s")
