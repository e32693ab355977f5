"""AudioTask: a recording (or a chunk of one) is a row, and one forward processes many rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deployments.audio.features import EXAMPLE as EXAMPLE
from deployments.audio.features import AudioFeatures
from deployments.checkpoints.facts import ExportedModel, Frames, ModelFacts, facts_of
from deployments.contract.task import Prepared, RequestT, ResponseT, Row
from deployments.layouts.media import PaddedAudio, SameLengthAudio, StackedAlone, StackedAudio
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import Layout
from deployments.media.content import Media

if TYPE_CHECKING:
    import numpy as np

MANY = 1_000_000  # positions; so many that the positions lost at the edges do not count


class AudioTask(AudioFeatures[RequestT, ResponseT], ForwardTask[RequestT, ResponseT]):
    """A task whose rows are recordings or chunks of them."""

    def layouts(self) -> Sequence[Layout]:
        model = self.model
        if self.is_fixed:
            return [StackedAudio(model), StackedAlone(model)]
        value = float(getattr(self.extractor, "padding_value", 0.0))
        return [PaddedAudio(model, value), SameLengthAudio(model, value), StackedAlone(model)]

    def has_one_shape(self) -> bool:
        return bool(self.is_fixed)

    def facts(self) -> ModelFacts:
        facts = facts_of(self.model)
        if self.is_fixed or isinstance(self.model, ExportedModel) or self.frames(MANY) is None:
            return facts
        return replace(facts, frames=Frames.of(lambda positions: self.frames(positions) or 0))

    def cost(self, row: Row) -> int:
        """Milliseconds of audio."""
        return max(1, 1000 * row.length * self.samples_per_position // self.sampling_rate)

    def row(self, samples: "np.ndarray[Any, Any]") -> Row:
        """A row from the samples of a recording or chunk.

        Raises:
            InvalidInput: too short for one frame.
            TooLarge: longer than `max_seconds`.
        """
        inputs = self.features(samples)
        return Row(inputs, length=1 if self.is_fixed else len(inputs[self.main_input]))

    def prepare(self, media: Media) -> Prepared:
        """Prepare a whole recording as one row.

        Raises:
            ServiceError: the recording cannot be decoded, is too short or too long.
        """
        samples = self.read(media)
        is_cut = self.is_fixed and len(samples) > self.samples_per_position
        return Prepared([self.row(samples)], truncated=is_cut)

    def own_frames(self, outputs: "np.ndarray[Any, Any]", rows: Sequence[Row]) -> list[Any]:
        """The frames of each row, without padding, from `[rows, frames, ...]`."""
        return [outputs[index, : self.frames(row.length)] for index, row in enumerate(rows)]

    def samples_per_frame(self) -> int | None:
        """Samples per output frame of the model; None if it cannot tell."""
        first, last = self.frames(MANY), self.frames(2 * MANY)
        return None if first is None or last is None else round(MANY / (last - first)) * self.samples_per_position
