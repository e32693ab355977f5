"""Bytes to a waveform: decodes, mixes to mono and resamples frame by frame, so that limits apply early."""

import threading
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from deployments.errors import InvalidInput, ServiceError, TooLarge
from deployments.media.container import AudioFile
from deployments.media.content import Media
from deployments.media.limits import MediaLimits

if TYPE_CHECKING:
    import numpy as np
    from av.audio.frame import AudioFrame

    Samples = np.ndarray[Any, np.dtype[np.float32]]

MIN_RATE, MAX_RATE = 1_000, 768_000
BLOCK = 1 << 15  # samples that are checked and resampled at once
GROWTH = 1 << 20  # maximum samples by which the buffer grows

# Decoding switches between Python and FFmpeg several times per frame. Two threads doing so compete for the GIL and are
# slower together than one alone, so they take turns, one block each; resampling runs in parallel.
_DECODING = threading.Lock()


def read_audio(media: Media, sampling_rate: int, limits: MediaLimits, *, field: str = "inputs") -> "Samples":
    """Decode the first audio stream to `[samples]`, float32, full scale 1.

    Channels are averaged. Without resampling the samples are exactly those of the file (16 bits: divided by 32,768).
    Memory: the result and about 10 MB.

    Args:
        media: the file.
        sampling_rate: sampling rate of the result, in Hz.
        limits: decoding stops at `max_audio_seconds`, whatever the header says.
        field: name of the input in messages.

    Raises:
        UnsupportedMedia: no audio, or an unsupported format.
        TooLarge: longer than `limits.max_audio_seconds`.
        InvalidInput: empty, damaged, truncated, or with an invalid rate, channel count or sample.
    """
    data = media.content(field)
    kind = "recording"
    try:
        with AudioFile(data, field) as file:
            kind = file.kind
            return _decode(file, sampling_rate, limits.max_audio_seconds)
    except ServiceError:
        raise
    except Exception as error:  # FFmpeg's errors, and others that crafted headers cause in PyAV
        raise InvalidInput(f"{field} is a damaged or truncated {kind}") from error


def _decode(file: AudioFile, sampling_rate: int, max_seconds: float) -> "Samples":
    frames = file.frames()
    with _DECODING:
        first = next(frames, None)
    if first is None:
        raise InvalidInput(f"{file.field} has no audio")
    track = Track(_rate(first, file.field), sampling_rate, file.field)
    frames = chain([first], frames)
    while _take_block(frames, track, max_seconds):
        track.flush()
    if not track.seconds:
        raise InvalidInput(f"{file.field} has no audio")
    file.require_whole(track.seconds)
    return track.finish()


def _take_block(frames: Iterator["AudioFrame"], track: "Track", max_seconds: float) -> bool:
    """Decode about `BLOCK` samples into the track; False at the end."""
    with _DECODING:
        for frame in frames:
            if frame.sample_rate != track.rate:
                track.change_rate(_rate(frame, track.field))
            if track.seconds + frame.samples / track.rate > max_seconds:
                raise TooLarge(f"{track.field} is longer than {max_seconds:,g} s (limits.max_audio_seconds)")
            if track.add(_mono(frame)) >= BLOCK:
                return True
    return False


def _rate(frame: "AudioFrame", field: str) -> int:
    if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
        raise InvalidInput(
            f"{field} has a sampling rate of {frame.sample_rate:,} Hz; it must be {MIN_RATE:,} to {MAX_RATE:,} Hz"
        )
    return frame.sample_rate


def _mono(frame: "AudioFrame") -> "Samples":
    """One frame as `[samples]`, full scale 1."""
    import numpy as np

    values: np.ndarray[Any, Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(frame.samples, -1).T
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    with np.errstate(all="ignore"):  # non-finite samples are reported later, with their time
        samples: Samples = values.astype(np.float32)
        if kind == "u":
            samples -= np.float32(128)
        if kind in "iu":
            samples *= np.float32(2.0 ** (1 - bits))
        mono: Samples = samples[0] if len(samples) == 1 else samples.mean(axis=0)
    return mono


class Track:
    """Collects decoded samples and resamples them to one waveform.

    Args:
        rate: sampling rate of the input, in Hz.
        sampling_rate: sampling rate of the result, in Hz.
        field: name of the input in messages.

    Attributes:
        rate: sampling rate of the input now, in Hz.
        decoded: input samples so far, at this rate.
    """

    def __init__(self, rate: int, sampling_rate: int, field: str) -> None:
        import numpy as np

        self.rate = rate
        self.decoded = 0
        self.field = field
        self._sampling_rate = sampling_rate
        self._seconds_before = 0.0  # of the input at other rates
        self._resampler = self._new_resampler()
        self._waiting: list[Samples] = []
        self._waiting_samples = 0
        self._samples: Samples = np.empty(0, np.float32)
        self._length = 0

    @property
    def seconds(self) -> float:
        """Length of the input so far."""
        return self._seconds_before + self.decoded / self.rate

    def change_rate(self, rate: int) -> None:
        """What follows is at another rate, as in a file that was put together of several."""
        self.flush(last=True)
        self._seconds_before, self.decoded, self.rate = self.seconds, 0, rate
        self._resampler = self._new_resampler()

    def _new_resampler(self) -> Any:
        """Of the rate of the input; None if it is that of the result."""
        import soxr

        if self.rate == self._sampling_rate:
            return None
        return soxr.ResampleStream(self.rate, self._sampling_rate, 1, quality="HQ")

    def add(self, samples: "Samples") -> int:
        """Add `[samples]` at the input rate. Returns how many wait to be flushed."""
        self._waiting.append(samples)
        self._waiting_samples += len(samples)
        self.decoded += len(samples)
        return self._waiting_samples

    def finish(self) -> "Samples":
        """The whole waveform at the rate of the result. Nothing can be added afterwards."""
        self.flush(last=True)
        self._samples.resize(self._length, refcheck=False)
        return self._samples

    def flush(self, *, last: bool = False) -> None:
        """Resample the waiting samples.

        Raises:
            InvalidInput: a sample is not finite.
        """
        import numpy as np

        block = np.concatenate(self._waiting) if self._waiting else np.empty(0, np.float32)
        self._require_finite(block)
        self._waiting, self._waiting_samples = [], 0
        self._append(block if self._resampler is None else self._resampler.resample_chunk(block, last=last))

    def _append(self, samples: "Samples") -> None:
        """Resize in place, which moves large memory without copying it.

        New memory is filled with zeros, so a short recording must not allocate that of a long one.
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
            second = self.seconds - (len(block) - int(finite.argmin())) / self.rate
            raise InvalidInput(f"{self.field} has a sample that is not a finite number at {second:,.3f} s")
