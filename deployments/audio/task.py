"""What the tasks share whose model reads sound in one forward: rows, and how they are laid out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deployments.audio.features import EXAMPLE as EXAMPLE
from deployments.audio.features import AudioFeatures
from deployments.contract.task import Prepared, RequestT, ResponseT, Row
from deployments.layouts.media import PaddedAudio, SameLengthAudio, StackedAlone, StackedAudio
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import Layout
from deployments.media.content import Media

if TYPE_CHECKING:
    import numpy as np

MANY = 1_000_000  # positions, beside which what a model's edges take does not count


class AudioTask(AudioFeatures[RequestT, ResponseT], ForwardTask[RequestT, ResponseT]):
    """A task whose rows are recordings, or chunks of them."""

    def layouts(self) -> Sequence[Layout]:
        model = self.model
        if self.is_fixed:
            return [StackedAudio(model), StackedAlone(model)]
        value = float(getattr(self.extractor, "padding_value", 0.0))
        return [PaddedAudio(model, value), SameLengthAudio(model, value), StackedAlone(model)]

    def cost(self, row: Row) -> int:
        """Milliseconds of sound."""
        return max(1, 1000 * row.length * self.samples_per_position // self.sampling_rate)

    def row(self, samples: "np.ndarray[Any, Any]") -> Row:
        """The features of a recording, or of a chunk of one.

        Raises:
            InvalidInput: too short for one frame.
            TooLarge: longer than goes through the model in one piece.
        """
        inputs = self.features(samples)
        return Row(inputs, length=1 if self.is_fixed else len(inputs[self.main_input]))

    def whole(self, media: Media) -> Prepared:
        """One row from a whole recording.

        Raises:
            ServiceError: not a recording that can be read, too short, or too long.
        """
        samples = self.read(media)
        is_cut = self.is_fixed and len(samples) > self.samples_per_position
        return Prepared([self.row(samples)], truncated=is_cut)

    def own_frames(self, outputs: Any, rows: Sequence[Row]) -> list[Any]:
        """Each row's own frames of `[rows, frames, ...]`, as numpy arrays."""
        array = outputs.float().cpu().numpy()
        return [array[index, : self.frames(row.length)] for index, row in enumerate(rows)]

    def samples_per_frame(self) -> int | None:
        """Samples of the recording for each frame of the model's answer; None where it does not say."""
        first, last = self.frames(MANY), self.frames(2 * MANY)
        return None if first is None or last is None else round(MANY / (last - first)) * self.samples_per_position
