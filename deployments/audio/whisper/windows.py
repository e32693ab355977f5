"""Splits recordings of any length into windows for models with a fixed window, such as Whisper.

Each window is a sequence of its own, so windows of all requests share batches. `audio.long_form` says how a recording
that is longer than a window is split:

- `speech`: between stretches of speech, found by their sound (`speech_windows.py`).
- `sequential`: not at all; one row reads it, each pass from the last timestamp of the one before.
- `overlap`: into overlapping windows, which are merged (`merge.py`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from deployments.audio.chunks import Chunking
from deployments.audio.features import AudioFeatures
from deployments.audio.voice_activity import voice_activity
from deployments.audio.whisper.merge import Stride
from deployments.audio.whisper.segments import Window
from deployments.audio.whisper.speech_windows import Clock, pack
from deployments.config import LongForm
from deployments.errors import TooLarge

if TYPE_CHECKING:
    import numpy as np


class WindowCutter:
    """Splits recordings into windows with their features, for one model.

    Args:
        task: decodes recordings and extracts features.
        positions: feature positions of a window.

    Attributes:
        seconds: length of a window.
        long_form: how long recordings are split unless a request says otherwise.
    """

    def __init__(self, task: AudioFeatures[Any, Any], positions: int) -> None:
        self._task, self._positions = task, positions
        self.seconds = task.samples_per_position / task.sampling_rate
        audio = task.checkpoint.config.audio
        audio = audio.model_copy(update={"chunk_length_s": min(audio.chunk_length_s, self.seconds)})
        self._chunking = Chunking.of(audio, task.sampling_rate, 1, task.min_samples)
        self.long_form = audio.long_form
        if self.long_form == "speech":
            voice_activity()  # loaded with the model, not by the first request

    def is_long(self, samples: "np.ndarray[Any, Any]", long_form: LongForm) -> bool:
        """Whether a recording is longer than a window."""
        length = self._task.samples_per_position if long_form == "sequential" else self._chunking.length
        return len(samples) > length

    def cut(self, samples: "np.ndarray[Any, Any]", long_form: LongForm) -> Iterator[Window]:
        """Split a recording into windows.

        Args:
            samples: `[samples]`, at the model's rate.
            long_form: how a long recording is split.

        Raises:
            TooLarge: chunking is disabled and the recording is longer than a window.
        """
        self._require_allowed(samples)
        if long_form == "speech":
            return self._between_speech(samples)
        if long_form == "overlap":
            return self._overlapping(samples)
        return iter([self._window(samples, clock=self._clock(samples))])

    def _require_allowed(self, samples: "np.ndarray[Any, Any]") -> None:
        if not self._chunking.length and len(samples) > self._task.samples_per_position:
            raise TooLarge(
                f"inputs is a recording of {len(samples) / self._task.sampling_rate:,.1f} s; this model reads at most "
                f"{self.seconds:g} s, as chunking is disabled (audio.chunk_length_s is 0)"
            )

    def _between_speech(self, samples: "np.ndarray[Any, Any]") -> Iterator[Window]:
        """One window for a short recording; for a long one as many as its speech fills, and one if it has none."""
        rate = self._task.sampling_rate
        stretches = voice_activity()(samples, rate)
        if not stretches:
            yield self._window(samples[: self._task.samples_per_position], is_silent=True)
        elif not self.is_long(samples, "speech") or not self._chunking.length:
            yield self._window(samples, clock=self._clock(samples))
        else:
            import numpy as np

            for window in pack(stretches, len(samples), self._chunking.length, rate):
                parts = [samples[part.start : part.stop] for part in window.parts]
                yield self._window(np.concatenate(parts), clock=window.clock(rate))

    def _overlapping(self, samples: "np.ndarray[Any, Any]") -> Iterator[Window]:
        rate = self._task.sampling_rate
        for chunk in self._chunking.cut(len(samples)):
            stride = Stride((chunk.stop - chunk.start) / rate, chunk.left / rate, chunk.right / rate)
            yield self._window(samples[chunk.start : chunk.stop], stride, clock=self._clock(samples))

    def _window(
        self,
        samples: "np.ndarray[Any, Any]",
        stride: Stride | None = None,
        *,
        clock: Clock | None = None,
        is_silent: bool = False,
    ) -> Window:
        inputs = self._task.tensors(samples, whole=len(samples) > self._task.samples_per_position)
        features, mask = inputs[self._task.main_input], inputs.get("attention_mask")
        valid_positions = features.shape[-1] if mask is None else int(mask.sum())
        stride = stride or Stride(len(samples) / self._task.sampling_rate, 0.0, 0.0)
        return Window(features, stride, valid_positions, self._positions, clock or Clock(), is_silent)

    def _clock(self, samples: "np.ndarray[Any, Any]") -> Clock:
        """Of a window that begins with the recording."""
        return Clock(end=len(samples) / self._task.sampling_rate)
