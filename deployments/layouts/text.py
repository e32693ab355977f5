"""Layouts for text: rows to one forward and back. The check that chooses a layout at load is in `check`.

- `Packed`: rows concatenated to one row, one attention call per text; no padding, exact. See `packing`.
- `Padded`: rows of similar length, padded on the right.
- `SameLength`: only rows of equal length, for models whose outputs change with padding (convolutions over tokens).
- `Alone`: one row at a time; the reference for the others.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from deployments.batching.selection import ArrivalOrder, NearestLength, Selection
from deployments.checkpoints.facts import ModelFacts, facts_of
from deployments.config import Batching
from deployments.contract.task import Row
from deployments.layouts import packing
from deployments.layouts.relative_positions import CutPositions
from deployments.layouts.traced_graph import TracedCalls
from deployments.numerics import as_float32

UNBOUNDED = 1 << 30


@dataclass(frozen=True, slots=True)
class Arrays:
    """The inputs of one forward, as numpy arrays.

    Attributes:
        inputs: the model's inputs by name.
        lengths: positions of each row.
        gather_positions: those of each row that go on to the head; None for all.
        attended: in a pack, how many positions at the start of each row are attended to.
    """

    inputs: dict[str, Any]
    lengths: list[int]
    gather_positions: packing.Gather
    attended: list[int]


@dataclass(frozen=True, slots=True)
class BatchOutput:
    """A model's output for several rows.

    Attributes:
        output: with the model's outputs as attributes; row i of each belongs to row i of the batch. Tensors from torch,
            numpy arrays from an exported graph.
        lengths: positions of each row (all tokens, or the gathered ones); positions beyond are padding.
    """

    output: Any
    lengths: list[int]

    def array(self, name: str) -> Any:
        """An output as a numpy array of float32."""
        return as_float32(getattr(self.output, name))


class Layout(ABC):
    """Turns a batch of rows into the inputs of one forward of a model.

    Args:
        model: a transformers model in eval mode, or an exported one for the arrays alone.
        pad_token_id: padding value of `input_ids`.
        nested: add a choice dimension of 1 to the inputs, as `AutoModelForMultipleChoice` expects.
    """

    name: str
    cpu_cost: ClassVar[int] = 4096
    cpu_rows: ClassVar[int] = 8
    gpu_cost: ClassVar[int] = 16384
    gpu_rows: ClassVar[int] = 64

    def __init__(self, model: Any, pad_token_id: int = 0, *, nested: bool = False) -> None:
        self.model = model
        self.pad_token_id = pad_token_id
        self.nested = nested
        self.trims = (
            True  # positions outside a row's `gather_positions` do not go on to the head; settable until `attach`
        )

    @cached_property
    def facts(self) -> ModelFacts:
        """Facts of the model."""
        return facts_of(self.model)

    def gather_positions(self, rows: Sequence[Row]) -> packing.Gather:
        """The positions of each row to gather for the head; None for all."""
        return [row.gather_positions if self.trims else None for row in rows]

    def attach(self) -> None:  # noqa: B027  # most layouts need no preparation
        """Prepare the model for this layout."""

    def detach(self) -> None:  # noqa: B027
        """Undo `attach`."""

    def arrays(self, rows: Sequence[Row]) -> Arrays:
        """The inputs of one forward for all rows. A layout without them cannot be exported."""
        raise NotImplementedError(f"the layout {self.name} has no arrays")

    @abstractmethod
    def run(self, rows: Sequence[Row]) -> BatchOutput:
        """Run one forward for all rows."""

    @abstractmethod
    def selection(self, batching: Batching, device: str) -> Selection:
        """The rule that selects rows for a batch in this layout; defaults depend on the device."""

    def check_batches(self, rows: int) -> list[list[int]]:
        """The batches for the check at load, as row indices."""
        return [list(range(rows))]

    def padding(self, lengths: Sequence[int]) -> float:
        """Share of padding in a batch of rows of these lengths."""
        return 1 - sum(lengths) / (max(lengths) * len(lengths))

    def _bounds(self, batching: Batching, device: str) -> tuple[int, int]:
        """`(max_cost, max_rows)`, configured or by device. On a CPU larger batches only add latency."""
        cost, rows = (self.cpu_cost, self.cpu_rows) if device == "cpu" else (self.gpu_cost, self.gpu_rows)
        return batching.max_cost or cost, batching.max_rows or rows


class Padded(Layout):
    """Rows of similar length, padded on the right and masked."""

    name = "padded"
    cpu_rows = 12
    # Padding positions that a batch may have beyond its share. With 32 callers of a DeBERTa (a forward costs as much as
    # 35 positions, simulated with measured costs) 8 and 12 give 1 % more throughput than 0, and 8 pads less.
    padding_slack: ClassVar[int] = 8
    cuts_positions: ClassVar[bool] = True  # see `relative_positions`

    def attach(self) -> None:
        self._gathered = packing.GatheredPositions(self.model)
        self._positions = CutPositions(self.model) if self.cuts_positions else None

    def detach(self) -> None:
        self._gathered.remove()
        if self._positions is not None:
            self._positions.remove()

    def arrays(self, rows: Sequence[Row]) -> Arrays:
        inputs = {
            name: pad([row.inputs[name] for row in rows], self.pad_token_id if name == "input_ids" else 0)
            for name in rows[0].inputs
        }
        inputs.setdefault("attention_mask", pad([_mask(row) for row in rows], 0))  # a row may bring its own
        if self.nested:
            inputs = {name: array[:, None] for name, array in inputs.items()}
        return Arrays(inputs, [row.length for row in rows], self.gather_positions(rows), [])

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        import torch

        arrays = self.arrays(rows)
        lengths, gather_positions = arrays.lengths, arrays.gather_positions
        tensors = packing.tensors(self.model, arrays.inputs)
        with torch.inference_mode(), self._gathered.of_rows(gather_positions, stride=max(lengths)):
            output = self.model(**tensors)
        return BatchOutput(output, packing.gathered_lengths(lengths, gather_positions))

    def selection(self, batching: Batching, device: str) -> Selection:
        max_cost, max_rows = self._bounds(batching, device)
        return NearestLength(
            max_cost, max_rows, batching.max_padding, self.padding_slack if batching.max_padding else 0
        )


class EqualLengths(Layout):
    """A layout in which only rows of equal length share a batch."""

    name = "same-length"

    def check_batches(self, rows: int) -> list[list[int]]:
        return [[row, row] for row in range(rows)]

    def selection(self, batching: Batching, device: str) -> Selection:
        max_cost, max_rows = self._bounds(batching, device)
        return NearestLength(max_cost, max_rows, 0.0)


class SameLength(EqualLengths, Padded):
    """Only rows of equal length: for models whose outputs change with padding."""


class Alone(Padded):
    """One row at a time, all positions: the reference for all other layouts."""

    name = "alone"
    cuts_positions = False

    def gather_positions(self, rows: Sequence[Row]) -> packing.Gather:
        return [None] * len(rows)

    def check_batches(self, rows: int) -> list[list[int]]:
        return [[row] for row in range(rows)]

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        if len(rows) != 1:
            raise ValueError(f"the layout 'alone' takes 1 row, got {len(rows)}")
        return super().run(rows)

    def selection(self, batching: Batching, device: str) -> Selection:
        return ArrivalOrder(UNBOUNDED, 1)


class Packed(Layout):
    """Rows concatenated to one row of the model, one attention call per text."""

    name = "packed"
    cpu_cost = 512  # tokens; more gain a few percent of throughput and cost latency
    cpu_rows = 128

    def attach(self) -> None:
        self._gathered = packing.GatheredPositions(self.model)
        self._attention = packing.PackedAttention(self.model)
        self.calls = TracedCalls(self.model, [self._attention, self._gathered])

    def detach(self) -> None:
        self._attention.remove()
        self._gathered.remove()

    @property
    def attention_calls(self) -> int:
        """Calls of the packed attention in the last run; must be one per layer."""
        return self._attention.calls

    def arrays(self, rows: Sequence[Row]) -> Arrays:
        import numpy as np

        facts = self.facts
        inputs = {name: np.array([value for row in rows for value in row.inputs[name]]) for name in rows[0].inputs}
        if "token_type_ids" in facts.inputs and "token_type_ids" not in inputs:
            # Models take default token types from a buffer of the length of one text; a pack may be longer.
            inputs["token_type_ids"] = np.zeros_like(inputs["input_ids"])
        inputs = {name: array[None, None] if self.nested else array[None] for name, array in inputs.items()}
        offset = facts.position_offset
        positions = [place for row in rows for place in packing.positions_of(row.inputs["input_ids"], offset)]
        inputs["position_ids"] = np.array(positions)[None]
        attended = [row.length if row.attended is None else row.attended for row in rows]
        return Arrays(inputs, [row.length for row in rows], self.gather_positions(rows), attended)

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        import torch

        arrays = self.arrays(rows)
        lengths, gather_positions = arrays.lengths, arrays.gather_positions
        with (
            torch.inference_mode(),
            self._attention.of(lengths, arrays.attended),
            self._gathered.of_pack(gather_positions, lengths),
        ):
            output = self.calls(packing.tensors(self.model, arrays.inputs))
        return BatchOutput(output, packing.gathered_lengths(lengths, gather_positions))

    def selection(self, batching: Batching, device: str) -> Selection:
        return ArrivalOrder(*self._bounds(batching, device))

    def check_batches(self, rows: int) -> list[list[int]]:
        """A short row first: it reveals a model that does not use the packed attention, which would process all rows as
        one text, at more than linear cost."""
        return [[0], list(range(rows))]

    def padding(self, lengths: Sequence[int]) -> float:
        return 0.0


def _mask(row: Row) -> list[int]:
    attended = row.length if row.attended is None else row.attended
    return [1] * attended + [0] * (row.length - attended)


def pad(rows: Sequence[Any], value: float, dtype: Any = "int64", shape: Sequence[int] = ()) -> Any:
    """Rows `[length, *shape]` of several lengths to one array `[rows, length, *shape]`, padded at the end."""
    import numpy as np

    padded = np.full((len(rows), max(map(len, rows)), *shape), value, dtype=dtype)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
