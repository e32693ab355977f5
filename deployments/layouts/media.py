"""Layouts for pictures and sound: numpy arrays to one call of the model.

Pictures of equal shape are stacked. Recordings of near length are padded with the feature extractor's own value and
masked; a model without a mask, or one that looks at the padding all the same (the group normalisation of the first
wav2vec2 models runs over time), fails the check at load and gets recordings of equal length only.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deployments.batching.selection import ArrivalOrder, NearestLength, Selection
from deployments.config import Batching
from deployments.contract.task import Row
from deployments.layouts.packing import device_of
from deployments.layouts.text import UNBOUNDED, BatchOutput, Layout

if TYPE_CHECKING:
    import torch

PICTURE = 224 * 224  # pixels of what most image models read


class Stacked(Layout):
    """Rows of equal shape on top of each other. Rows of another shape have other params, and so another batch."""

    name = "stacked"
    cpu_cost = 8 * PICTURE
    gpu_cost = 64 * PICTURE

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        import numpy as np

        arrays = {name: np.stack([row.inputs[name] for row in rows]) for name in rows[0].inputs}
        return BatchOutput(self._call(arrays), [row.length for row in rows])

    def selection(self, batching: Batching, device: str) -> Selection:
        return ArrivalOrder(*self._bounds(batching, device))

    def padding(self, lengths: Sequence[int]) -> float:
        return 0.0

    def _call(self, arrays: dict[str, Any]) -> Any:
        """The model's output; floats in the model's own precision, whole numbers as they are."""
        import torch

        weights: torch.Tensor = next(self.model.parameters())
        tensors = {name: torch.from_numpy(array).to(device_of(self.model)) for name, array in arrays.items()}
        inputs = {name: t.to(weights.dtype) if t.is_floating_point() else t for name, t in tensors.items()}
        with torch.inference_mode():
            return self.model(**inputs)


class StackedAlone(Stacked):
    """One row a time: what every other layout must equal."""

    name = "alone"

    def check_batches(self, rows: int) -> list[list[int]]:
        return [[row] for row in range(rows)]

    def selection(self, batching: Batching, device: str) -> Selection:
        return ArrivalOrder(UNBOUNDED, 1)


class StackedAudio(Stacked):
    """Recordings that the feature extractor has brought to one length, as Whisper's and AST's do."""

    cpu_cost = 30_000  # milliseconds of sound
    gpu_cost = 480_000


class PaddedAudio(StackedAudio):
    """Recordings of near length, padded at the end and masked.

    Args:
        model: a transformers model in eval mode.
        padding_value: what the feature extractor pads with.
    """

    name = "padded"

    def __init__(self, model: "torch.nn.Module", padding_value: float = 0.0) -> None:
        super().__init__(model)
        self._padding_value = padding_value

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        arrays = {
            name: _pad([row.inputs[name] for row in rows], 0 if name == "attention_mask" else self._padding_value)
            for name in rows[0].inputs
        }
        return BatchOutput(self._call(arrays), [row.length for row in rows])

    def selection(self, batching: Batching, device: str) -> Selection:
        max_cost, max_rows = self._bounds(batching, device)
        return NearestLength(max_cost, max_rows, batching.max_padding)

    def padding(self, lengths: Sequence[int]) -> float:
        return Layout.padding(self, lengths)


class SameLengthAudio(PaddedAudio):
    """Only recordings of equal length together."""

    name = "same-length"

    def check_batches(self, rows: int) -> list[list[int]]:
        return [[row, row] for row in range(rows)]

    def selection(self, batching: Batching, device: str) -> Selection:
        max_cost, max_rows = self._bounds(batching, device)
        return NearestLength(max_cost, max_rows, 0.0)


def _pad(arrays: Sequence[Any], value: float) -> Any:
    """`[time, ...]` arrays of several lengths to one `[rows, time, ...]`."""
    import numpy as np

    longest = max(len(array) for array in arrays)
    padded = np.full((len(arrays), longest, *arrays[0].shape[1:]), value, dtype=arrays[0].dtype)
    for index, array in enumerate(arrays):
        padded[index, : len(array)] = array
    return padded
