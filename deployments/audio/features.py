"""AudioFeatures, the base of all audio tasks: bytes to a waveform to the model's input features."""

import base64
import io
import math
import os
import sys
import warnings
import wave
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from deployments.audio.whisper.transformers_internals import output_frames
from deployments.checkpoints.facts import ExportedModel, facts_of
from deployments.checkpoints.load import Checkpoint
from deployments.contract.task import RequestT, ResponseT, Task
from deployments.errors import InvalidInput, TooLarge
from deployments.media.audio import read_audio
from deployments.media.content import Media

if TYPE_CHECKING:
    import numpy as np
    import torch

PROBE_S = (1, 11)  # seconds; two lengths show the positions per second, or that every recording gets the same length


class AudioFeatures(Task[RequestT, ResponseT]):
    """A task that reads recordings or chunks of them, as `[samples]`, `[positions, features]` or a fixed shape.

    Attributes:
        extractor: the feature extractor.
        sampling_rate: sampling rate that the model was trained on, in Hz.
        model: the module that is called with the features.
        feature_module: the part of it that the features are made for.
        main_input: name of its main input.
        is_fixed: the feature extractor pads or cuts every recording to one length, which counts as one position.
        samples_per_position: samples per position of the features.
        min_samples: length of the shortest recording that yields a frame.
        max_seconds: longest recording that one forward may process.
    """

    medium = "audio"
    other_inputs: ClassVar[tuple[str, ...]] = ()  # of the model, beside the main one, that the extractor makes
    auto_processor = "AutoFeatureExtractor"
    preprocess_threads = min(4, os.cpu_count() or 1)

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.extractor = checkpoint.processor
        self.sampling_rate = int(self.extractor.sampling_rate)
        self.max_seconds = checkpoint.config.audio.max_seconds
        model = checkpoint.model
        self.model: Any = model if isinstance(model, ExportedModel) else self.called_model(model)
        self.feature_module = self.feature_module_of()
        self.main_input = facts_of(self.feature_module).main_input
        self._takes_mask = "attention_mask" in facts_of(self.model).inputs
        short, long = (
            self._extract(_noise(seconds * self.sampling_rate))[self.main_input].shape for seconds in PROBE_S
        )
        self.is_fixed = short == long
        if self.is_fixed:  # the extractor states its samples; otherwise frames of 10 ms are assumed
            samples = getattr(self.extractor, "n_samples", max(short) * self.sampling_rate // 100)
        else:
            samples = (PROBE_S[1] - PROBE_S[0]) * self.sampling_rate / (long[0] - short[0])
        self.samples_per_position: int = round(samples)
        self.min_samples = self._find_min_samples()

    def called_model(self, model: Any) -> Any:
        """The module that is called with the features."""
        return model

    def feature_module_of(self) -> Any:
        """The part of it that names its main input and computes the number of output frames."""
        return self.model

    def read(self, media: Media) -> "np.ndarray[Any, Any]":
        """Decode a recording to `[samples]`, float32, at the model's sampling rate.

        Raises:
            ServiceError: the recording cannot be decoded.
        """
        samples: np.ndarray[Any, Any] = read_audio(media, self.sampling_rate, self.limits)
        return samples

    def features(self, samples: "np.ndarray[Any, Any]", *, whole: bool = False) -> Mapping[str, Any]:
        """The features of a recording or chunk.

        Args:
            samples: `[samples]`, at the model's rate.
            whole: those of all samples, where the feature extractor otherwise cuts every recording to one length.

        Raises:
            InvalidInput: too short for one frame.
            TooLarge: longer than `max_seconds`.
        """
        seconds = len(samples) / self.sampling_rate
        if not self.is_fixed and seconds > self.max_seconds:
            raise TooLarge(
                f"inputs is a recording of {seconds:,.1f} s; this model reads at most {self.max_seconds:g} s "
                "(audio.max_seconds)"
            )
        if len(samples) < self.min_samples:
            raise InvalidInput(
                f"inputs is a recording of {1e3 * seconds:.2f} ms; the model needs at least "
                f"{1e3 * self.min_samples / self.sampling_rate:.2f} ms"
            )
        return self._extract(samples, **({"truncation": False, "padding": "longest"} if whole else {}))

    def tensors(self, samples: "np.ndarray[Any, Any]", *, whole: bool = False) -> "dict[str, torch.Tensor]":
        """The features as tensors, floats in the model's precision; arguments as for `features`."""
        import torch

        dtype = next(self.model.parameters()).dtype
        tensors = {name: torch.from_numpy(value) for name, value in self.features(samples, whole=whole).items()}
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}

    def sample(self, words: int) -> Media:
        """A recording of 0.1 s to 2 s, in proportion to `words`, whose pitch changes all the time."""
        seconds = min(0.1 + words / 100, 2.0, self.max_seconds)
        return Media(_wav(max(seconds, 2 * self.min_samples / self.sampling_rate), self.sampling_rate))

    def frames(self, positions: int) -> int | None:
        """Frames that the model outputs for this many positions; None if it cannot tell.

        In a batch every row gets as many frames as the longest one; those beyond a row's own count are padding.
        """
        if self.is_fixed:
            return None
        if isinstance(self.model, ExportedModel):
            frames = self.model.facts.frames
            return None if frames is None else frames(positions)
        return output_frames(self.feature_module, positions)

    def _extract(self, samples: "np.ndarray[Any, Any]", **options: Any) -> Mapping[str, Any]:
        import numpy as np

        try:
            features = self.extractor(
                samples, sampling_rate=self.sampling_rate, return_tensors="np", return_attention_mask=True, **options
            )
        except Exception as error:  # feature extractors raise all kinds of exceptions
            raise InvalidInput(f"inputs is a recording that the feature extractor rejects ({error})") from error
        main = np.ascontiguousarray(features[self.main_input][0])
        inputs = {self.main_input: main} | {name: features[name][0] for name in self.other_inputs}
        if self._takes_mask:
            mask = features.get("attention_mask")
            inputs["attention_mask"] = np.ones(len(main), np.int64) if mask is None else mask[0].astype(np.int64)
        return inputs

    def _find_min_samples(self) -> int:
        """Search by trial; neither extractors nor models state it."""
        if self._yields_a_frame(1):
            return 1
        low, high = 2, self.sampling_rate
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._yields_a_frame(middle) else (middle + 1, high)
        return low

    def _yields_a_frame(self, samples: int) -> bool:
        import numpy as np

        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")  # the variance of a single frame is NaN
                features = self._extract(_noise(samples))[self.main_input]
        except InvalidInput:
            return False
        if not len(features) or not np.isfinite(features).all():
            return False
        frames = self.frames(len(features))
        return frames is None or frames >= getattr(self.model.config, "squeeze_factor", 1)


def _noise(samples: int) -> "np.ndarray[Any, Any]":
    """A fixed recording for probing an extractor."""
    import numpy as np

    return np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)


def _wav(seconds: float, sampling_rate: int) -> bytes:
    """A tone of varying pitch, as a WAV file."""
    times = [number / sampling_rate for number in range(int(seconds * sampling_rate))]
    tone = array("h", (int(20_000 * math.sin(2000 * t + 200 * math.sin(5 * t))) for t in times))
    if sys.byteorder == "big":
        tone.byteswap()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sampling_rate)
        file.writeframes(tone.tobytes())
    return buffer.getvalue()


EXAMPLE = base64.b64encode(_wav(0.1, 4000)).decode("ascii")
"""0.1 s as base64; short, because the docs show it."""
