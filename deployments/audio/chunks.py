"""Splits long recordings into overlapping chunks whose outputs are concatenated without seams.

A CTC model uses the whole chunk for each of its frames, so frames near a cut lack context. Each chunk therefore extends
beyond its core by a stride on either side, and the frames of the strides are dropped. Method and rounding are those of
transformers' pipeline for automatic speech recognition (https://huggingface.co/blog/asr-chunking).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from deployments.config import Audio
from deployments.errors import LoadError


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a recording, in samples. Frames of the strides `left` and `right` are dropped."""

    start: int
    stop: int
    left: int
    right: int

    def core_frames(self, samples_per_frame: int) -> slice:
        """The frames that remain after dropping both strides. The last chunk has no right stride."""
        stop = (self.stop - self.start - self.right) // samples_per_frame if self.right else None
        return slice(self.left // samples_per_frame, stop)


@dataclass(frozen=True, slots=True)
class Chunking:
    """How recordings are split; lengths in samples.

    Attributes:
        length: length of a chunk; 0 disables chunking.
        left: left stride, the overlap with the previous chunk.
        right: right stride, the overlap with the next chunk.
        min_samples: a remainder shorter than this, too short for one frame, becomes part of the previous chunk.
    """

    length: int
    left: int
    right: int
    min_samples: int = 1

    @classmethod
    def of(cls, audio: Audio, sampling_rate: int, samples_per_frame: int, min_samples: int) -> "Chunking":
        """Convert seconds to samples, rounded to whole frames. A stride of None is a sixth of the chunk.

        Raises:
            LoadError: the strides cover the whole chunk, or the model cannot read chunks of this length.
        """
        chunk_s, stride_s = audio.chunk_length_s, audio.stride_length_s
        if not chunk_s:
            return cls(0, 0, 0)
        if stride_s is None:
            stride_s = chunk_s / 6
        left_s, right_s = stride_s if isinstance(stride_s, tuple) else (stride_s, stride_s)
        length, left, right = (
            round(seconds * sampling_rate / samples_per_frame) * samples_per_frame
            for seconds in (chunk_s, left_s, right_s)
        )
        if length <= left + right:
            raise LoadError(
                f"audio.stride_length_s ({left_s:g} s + {right_s:g} s) must be shorter than audio.chunk_length_s "
                f"({chunk_s:g} s)"
            )
        if length < min_samples or chunk_s > audio.max_seconds:
            raise LoadError(
                f"audio.chunk_length_s is {chunk_s:g} s; this model reads {min_samples / sampling_rate:g} s to "
                f"{audio.max_seconds:g} s (audio.max_seconds) at once"
            )
        return cls(length, left, right, min_samples)

    def cut(self, samples: int) -> Iterator[Chunk]:
        """The chunks of a recording of `samples` samples; a single one if it fits into a chunk."""
        if not self.length or samples <= self.length:
            yield Chunk(0, samples, 0, 0)
            return
        step = self.length - self.left - self.right
        for start in range(0, samples, step):
            left = self.left if start else 0
            if start + self.length >= samples or samples - (start + step) < self.min_samples:
                yield Chunk(start, samples, left, 0)
                return
            yield Chunk(start, start + self.length, left, self.right)
