"""How rows become one model call and back. The check that chooses a layout at load is in `layout_check`.

- `Packed`: rows end to end in one row, one attention call per text; no padding, exact. See `packing`.
- `Padded`: rows of near length, padded on the right.
- `SameLength`: only rows of equal length, for models whose answers change with padding (convolutions over tokens).
- `Alone`: one row a time; what the others are compared with.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from deployments.batching.selection import ArrivalOrder, NearestLength, Selection
from deployments.config import Batching
from deployments.contract.task import Row
from deployments.layouts import packing
from deployments.layouts.relative_positions import CutPositions
from deployments.layouts.traced_graph import TracedCalls

if TYPE_CHECKING:
    import torch

UNBOUNDED = 1 << 30


@dataclass(frozen=True, slots=True)
class BatchOutput:
    """A model's output for several rows.

    Attributes:
        output: transformers' ModelOutput; row i of its tensors belongs to row i of the batch.
        lengths: how many positions of each row are real (tokens, or kept tokens); the rest is padding.
    """

    output: Any
    lengths: list[int]


class Layout(ABC):
    """Lays rows out for one model.

    Args:
        model: a transformers model in eval mode.
        pad_token_id: what fills `input_ids` where a row is shorter than its batch.
        nested: tensors get a choice dimension of one, as `AutoModelForMultipleChoice` wants them.
    """

    name: ClassVar[str]
    cpu_cost: ClassVar[int] = 4096
    cpu_rows: ClassVar[int] = 8
    gpu_cost: ClassVar[int] = 16384
    gpu_rows: ClassVar[int] = 64

    def __init__(self, model: "torch.nn.Module", pad_token_id: int = 0, *, nested: bool = False) -> None:
        self.model = model
        self.pad_token_id = pad_token_id
        self.nested = nested
        self.trims = True  # positions outside a row's `keep` do not go on to the head; settable until `attach`

    def gather_positions(self, rows: Sequence[Row]) -> packing.Gather:
        """The positions that go on to the head, by row; None for all."""
        return [row.keep if self.trims else None for row in rows]

    def attach(self) -> None:  # noqa: B027  # a layout may need nothing
        """Prepare the model for this layout."""

    def detach(self) -> None:  # noqa: B027
        """Leave the model as `attach` found it."""

    @abstractmethod
    def run(self, rows: Sequence[Row]) -> BatchOutput:
        """One call of the model for all rows."""

    @abstractmethod
    def selection(self, batching: Batching, device: str) -> Selection:
        """The rule that picks rows for this layout; defaults follow from the device."""

    def check_batches(self, rows: int) -> list[list[int]]:
        """Batches, as indices of rows, that the check at load runs to see whether this layout holds."""
        return [list(range(rows))]

    def padding(self, lengths: Sequence[int]) -> float:
        """Share of padding when rows of these lengths run together."""
        return 1 - sum(lengths) / (max(lengths) * len(lengths))

    def _bounds(self, batching: Batching, device: str) -> tuple[int, int]:
        """(max_cost, max_rows): configured, else by device. On a CPU larger batches gain nothing but latency."""
        cost, rows = (self.cpu_cost, self.cpu_rows) if device == "cpu" else (self.gpu_cost, self.gpu_rows)
        return batching.max_cost or cost, batching.max_rows or rows


class Padded(Layout):
    """Rows of near length, padded on the right and masked."""

    name = "padded"
    cpu_rows = 12
    # Positions of padding that a batch may have beyond its share. With 32 callers of a DeBERTa (a call costs as much as
    # 35 positions, simulated with the measured costs) 8 and 12 answer 1 % more than none, and 8 pads less.
    padding_slack: ClassVar[int] = 8
    cuts_positions: ClassVar[bool] = True  # of a model that computes a table of them for every call

    def attach(self) -> None:
        self._gathered = packing.GatheredPositions(self.model)
        self._positions = CutPositions(self.model) if self.cuts_positions else None

    def detach(self) -> None:
        self._gathered.remove()
        if self._positions is not None:
            self._positions.remove()

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        import torch

        lengths = [row.length for row in rows]
        inputs = {
            name: _pad([row.inputs[name] for row in rows], self.pad_token_id if name == "input_ids" else 0)
            for name in rows[0].inputs
        }
        inputs["attention_mask"] = _pad([[1] * length for length in lengths], 0)
        device = packing.device_of(self.model)
        tensors = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
        if self.nested:
            tensors = {name: tensor[:, None] for name, tensor in tensors.items()}
        gather_positions = self.gather_positions(rows)
        with torch.inference_mode(), self._gathered.of_rows(gather_positions, stride=max(lengths)):
            output = self.model(**tensors)
        return BatchOutput(output, packing.gathered_lengths(lengths, gather_positions))

    def selection(self, batching: Batching, device: str) -> Selection:
        max_cost, max_rows = self._bounds(batching, device)
        return NearestLength(
            max_cost, max_rows, batching.max_padding, self.padding_slack if batching.max_padding else 0
        )


class SameLength(Padded):
    """Only rows of equal length together: for models whose answers change with padding."""

    name = "same-length"

    def check_batches(self, rows: int) -> list[list[int]]:
        return [[row, row] for row in range(rows)]

    def selection(self, batching: Batching, device: str) -> Selection:
        max_cost, max_rows = self._bounds(batching, device)
        return NearestLength(max_cost, max_rows, 0.0)


class Alone(Padded):
    """One row a time, nothing left out: what every other layout must equal."""

    name = "alone"
    cuts_positions = False

    def gather_positions(self, rows: Sequence[Row]) -> packing.Gather:
        return [None] * len(rows)

    def check_batches(self, rows: int) -> list[list[int]]:
        return [[row] for row in range(rows)]

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        if len(rows) != 1:
            raise ValueError(f"the layout 'alone' takes one row, not {len(rows)}")
        return super().run(rows)

    def selection(self, batching: Batching, device: str) -> Selection:
        return ArrivalOrder(UNBOUNDED, 1)


class Packed(Layout):
    """Rows end to end in one row of the model, one attention call per text."""

    name = "packed"
    cpu_cost = 512  # tokens; more gain a few percent in the model and cost every caller latency
    cpu_rows = 128

    def attach(self) -> None:
        self._gathered = packing.GatheredPositions(self.model)
        self._attention = packing.PackedAttention(self.model)
        self.calls = TracedCalls(self.model, [self._attention, self._gathered])
        self._offset = packing.position_offset(self.model)
        self._wants_types = packing.takes_token_types(self.model)

    def detach(self) -> None:
        self._attention.remove()
        self._gathered.remove()

    @property
    def attention_calls(self) -> int:
        """How often the model asked for its attention in the last run: once a layer, or the layout cannot hold."""
        return self._attention.calls

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        import torch

        lengths = [row.length for row in rows]
        device = packing.device_of(self.model)
        tensors = {name: torch.tensor([value for row in rows for value in row.inputs[name]]) for name in rows[0].inputs}
        if self._wants_types and "token_type_ids" not in tensors:
            # Models fill in token types from a buffer as long as one text, shorter than a pack may be.
            tensors["token_type_ids"] = torch.zeros_like(tensors["input_ids"])
        tensors = {name: (t[None, None] if self.nested else t[None]).to(device) for name, t in tensors.items()}
        positions = torch.tensor([self._offset + place for length in lengths for place in range(length)])
        tensors["position_ids"] = positions[None].to(device)
        gather_positions = self.gather_positions(rows)
        with torch.inference_mode(), self._attention.of(lengths), self._gathered.of_pack(gather_positions, lengths):
            output = self.calls(tensors)
        return BatchOutput(output, packing.gathered_lengths(lengths, gather_positions))

    def selection(self, batching: Batching, device: str) -> Selection:
        return ArrivalOrder(*self._bounds(batching, device))

    def check_batches(self, rows: int) -> list[list[int]]:
        """A short row first: a model that never asks for our attention would read all as one text, which costs more
        than linearly; it is found out before that."""
        return [[0], list(range(rows))]

    def padding(self, lengths: Sequence[int]) -> float:
        return 0.0


def _pad(rows: Sequence[Sequence[int]], value: int) -> Any:
    import numpy as np

    padded = np.full((len(rows), max(map(len, rows))), value, dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
