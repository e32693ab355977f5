"""VoiceActivity: where somebody speaks, by Silero's model (https://github.com/snakers4/silero-vad).

The package `silero-vad` brings the model and turns its probabilities into stretches of speech. OpenVINO computes the
model here, a block of frames at a time; the probabilities are those of the package's own torch model.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deployments.openvino.graph import Graph

if TYPE_CHECKING:
    import numpy as np

RATE = 16_000  # Hz, of the model
FRAME, CONTEXT = 512, 64  # samples of a frame, and of the one before that the model reads with it
BLOCK = 512  # frames per call of the model
STATE = (1, 1, 128)
MIN_SILENCE_MS = 100  # a shorter pause does not end a stretch
MIN_SPEECH_MS = 100  # a shorter sound is no speech


class Span(NamedTuple):
    """A part of a recording, in samples."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


class VoiceActivity:
    """Finds the stretches of speech in recordings. May be called by several threads; they take turns.

    Args:
        model: path of the model, an ONNX file.
    """

    def __init__(self, model: Path) -> None:
        self._graph = Graph(model, ("probabilities", "hidden", "cell"), threads=1)
        self._lock = threading.Lock()

    def __call__(self, samples: "np.ndarray[Any, Any]", sampling_rate: int) -> list[Span]:
        """The stretches of speech of a recording, in order, without the silence around them.

        Args:
            samples: `[samples]`, float32, full scale 1.
            sampling_rate: in Hz.
        """
        with _torch_threads_kept():
            from silero_vad import get_speech_timestamps_from_probs

        at_rate = _resampled(samples, sampling_rate)
        stretches = get_speech_timestamps_from_probs(
            self._probabilities(at_rate).tolist(),
            sampling_rate=RATE,
            min_silence_duration_ms=MIN_SILENCE_MS,
            min_speech_duration_ms=MIN_SPEECH_MS,
            speech_pad_ms=0,
            audio_length_samples=len(at_rate),
        )
        scale = sampling_rate / RATE
        return [Span(round(each["start"] * scale), min(len(samples), round(each["end"] * scale))) for each in stretches]

    def _probabilities(self, samples: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """The probability of speech in each frame, `[frames]`."""
        import numpy as np

        with _torch_threads_kept():
            from silero_vad.sequence_vad import frame_blocks

        hidden = cell = np.zeros(STATE, np.float32)
        found = [np.empty(0, np.float32)]
        with self._lock:
            for block in frame_blocks(samples, FRAME, CONTEXT, BLOCK):
                outputs = self._graph({"input": block, "h": hidden, "c": cell})
                found.append(outputs["probabilities"].reshape(-1))
                hidden, cell = outputs["hidden"], outputs["cell"]
        return np.concatenate(found)


@cache
def voice_activity() -> VoiceActivity:
    """The model of this process, loaded once."""
    with _torch_threads_kept():
        folder = resources.files("silero_vad.data")
    return VoiceActivity(Path(str(folder.joinpath("silero_vad_16k_sequence.onnx"))))


@contextmanager
def _torch_threads_kept() -> Iterator[None]:
    """Around imports of `silero_vad`, which sets torch to a single thread for the whole process."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _resampled(samples: "np.ndarray[Any, Any]", sampling_rate: int) -> "np.ndarray[Any, Any]":
    if sampling_rate == RATE:
        return samples
    import soxr

    resampled: np.ndarray[Any, Any] = soxr.resample(samples, sampling_rate, RATE)
    return resampled
