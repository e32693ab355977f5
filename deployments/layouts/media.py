"""Layouts for images and audio: numpy arrays to one forward.

Images of equal shape are stacked. Recordings of similar length are padded with the feature extractor's padding value
and masked. A model that has no mask or is affected by padding nevertheless (the group normalization of the first
wav2vec2 models runs over time) fails the check at load and gets only recordings of equal length.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deployments.batching.selection import ArrivalOrder, NearestLength, Selection
from deployments.config import Batching
from deployments.contract.task import Row
from deployments.layouts.packing import tensors
from deployments.layouts.text import UNBOUNDED, Arrays, BatchOutput, EqualLengths, Layout, pad

if TYPE_CHECKING:
    pass

IMAGE = 224 * 224  # pixels, the input size of most image models


class Stacked(Layout):
    """Rows of equal shape, stacked. Rows of different shapes have different params and never share a batch."""

    name = "stacked"
    cpu_cost = 8 * IMAGE
    gpu_cost = 64 * IMAGE

    def arrays(self, rows: Sequence[Row]) -> Arrays:
        import numpy as np

        inputs = {name: np.stack([row.inputs[name] for row in rows]) for name in rows[0].inputs}
        return Arrays(inputs, [row.length for row in rows], self.gather_positions(rows), [])

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        """Run the model, with floats cast to its precision."""
        import torch

        arrays = self.arrays(rows)
        weights: torch.Tensor = next(self.model.parameters())
        inputs = {
            name: tensor.to(weights.dtype) if tensor.is_floating_point() else tensor
            for name, tensor in tensors(self.model, arrays.inputs).items()
        }
        with torch.inference_mode():
            return BatchOutput(self.model(**inputs), arrays.lengths)

    def selection(self, batching: Batching, device: str) -> Selection:
        return ArrivalOrder(*self._bounds(batching, device))

    def padding(self, lengths: Sequence[int]) -> float:
        return 0.0


class StackedAlone(Stacked):
    """One row at a time: the reference for all other layouts."""

    name = "alone"

    def check_batches(self, rows: int) -> list[list[int]]:
        return [[row] for row in range(rows)]

    def selection(self, batching: Batching, device: str) -> Selection:
        return ArrivalOrder(UNBOUNDED, 1)


class StackedAudio(Stacked):
    """Recordings that the feature extractor brings to a fixed length, as Whisper's and AST's do."""

    cpu_cost = 30_000  # milliseconds of audio
    gpu_cost = 480_000


class PaddedAudio(StackedAudio):
    """Recordings of similar length, padded at the end and masked.

    Args:
        model: a transformers model in eval mode.
        padding_value: the feature extractor's padding value.
    """

    name = "padded"

    def __init__(self, model: Any, padding_value: float = 0.0) -> None:
        super().__init__(model)
        self._padding_value = padding_value

    def arrays(self, rows: Sequence[Row]) -> Arrays:
        inputs = {
            name: _pad([row.inputs[name] for row in rows], 0 if name == "attention_mask" else self._padding_value)
            for name in rows[0].inputs
        }
        return Arrays(inputs, [row.length for row in rows], self.gather_positions(rows), [])

    def selection(self, batching: Batching, device: str) -> Selection:
        max_cost, max_rows = self._bounds(batching, device)
        return NearestLength(max_cost, max_rows, batching.max_padding)

    def padding(self, lengths: Sequence[int]) -> float:
        return Layout.padding(self, lengths)


class SameLengthAudio(EqualLengths, PaddedAudio):
    """Only recordings of equal length."""


def _pad(arrays: Sequence[Any], value: float) -> Any:
    return pad(arrays, value, arrays[0].dtype, arrays[0].shape[1:])
