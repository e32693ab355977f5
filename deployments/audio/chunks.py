"""Long recordings in overlapping chunks, joined again without seams.

A CTC model looks at all of a chunk for each frame of it, so frames near a cut see too little. Each chunk therefore
reaches a stride beyond what is kept of it on either side: the method, and its rounding, of transformers' pipeline for
automatic speech recognition (https://huggingface.co/blog/asr-chunking).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from deployments.config import Audio
from deployments.errors import LoadError


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a recording, in samples. `left` and `right` are read but not kept."""

    start: int
    stop: int
    left: int
    right: int

    def kept(self, samples_per_frame: int) -> slice:
        """The model's frames that are kept: of the last chunk all that come."""
        stop = (self.stop - self.start - self.right) // samples_per_frame if self.right else None
        return slice(self.left // samples_per_frame, stop)


@dataclass(frozen=True, slots=True)
class Chunking:
    """How recordings are cut, in samples.

    Attributes:
        length: of a chunk; 0 for no cutting.
        left: samples that a chunk shares with the one before it, and that are not kept.
        right: those that it shares with the next one.
        least: a rest shorter than this, of which the model could make nothing, belongs to the chunk before it.
    """

    length: int
    left: int
    right: int
    min_samples: int = 1

    @classmethod
    def of(cls, audio: Audio, sampling_rate: int, samples_per_frame: int, min_samples: int) -> "Chunking":
        """Seconds to samples, whole frames each. A stride of None is a sixth of the chunk.

        Raises:
            LoadError: the strides leave nothing of a chunk, or the model does not read chunks of this length.
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
                f"audio.stride_length_s ({left_s:g} s and {right_s:g} s) leaves nothing of audio.chunk_length_s "
                f"({chunk_s:g} s)"
            )
        if length < min_samples or chunk_s > audio.max_seconds:
            raise LoadError(
                f"audio.chunk_length_s is {chunk_s:g} s; this model reads {min_samples / sampling_rate:g} s to "
                f"{audio.max_seconds:g} s (audio.max_seconds) in one piece"
            )
        return cls(length, left, right, min_samples)

    def cut(self, samples: int) -> Iterator[Chunk]:
        """The chunks of a recording of so many samples: one, if it is no longer than a chunk."""
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
