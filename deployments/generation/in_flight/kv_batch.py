"""KVBatch: the layout of the running batch's cache: each row's slot, columns, and next position.

No model, no queue. A row occupies one slot of the buffers in `cache`; all rows end at the column that the next step
writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from deployments.generation.in_flight.cache import UnmergeableCache, blocks

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, EncoderDecoderCache

SLACK = 64  # columns beyond the longest row's, so that buffers are moved less often


@dataclass(frozen=True, slots=True)
class KVLimits:
    """The size of a running batch, at most.

    Attributes:
        max_kv_slots: slots over all rows, padding included, in self- and cross-attention together. A slot holds a key
            and a value in every layer.
        max_rows: rows that decode together.
    """

    max_kv_slots: int
    max_rows: int


def geometry(rows: int, length: int, cross: int, limits: KVLimits) -> tuple[int, int]:
    """(rows, columns) of buffers for `rows` rows of at most `length` columns, and `cross` more of cross-attention.

    Both are more than needed if the budget allows it, so that the next row to join does not move them all.
    """
    power = 1 << (rows - 1).bit_length()
    capacity = max(rows, min(power, limits.max_rows, limits.max_kv_slots // (length + cross)))
    columns = max(length, min(length + SLACK, limits.max_kv_slots // capacity - cross))
    return capacity, columns


def without_gaps(alive: Sequence[int]) -> list[int]:
    """The rows `alive` in the order that moves the fewest: the last ones fill the slots of those that left."""
    count = len(alive)
    late = [row for row in alive if row >= count]
    early = {row for row in alive if row < count}
    return [place if place in early else late.pop() for place in range(count)]


@dataclass(frozen=True)
class EncoderState:
    """An encoder's output, as it is passed to every decode step.

    Attributes:
        mask: `[rows, length]`, 1 where the encoder's input is not padding; None if the model takes none.
        lengths: each row's length in the mask.
        widths: each row's columns of cross-attention.
        states: one of the encoder's states, `[1, 1, size]`, expanded to all columns at a step: models take only shape
            and dtype from it once the keys and values are cached.
    """

    mask: "torch.Tensor | None"
    lengths: list[int]
    widths: list[int]
    states: "torch.Tensor"

    @cached_property
    def widths_mask(self) -> "torch.Tensor | None":
        """`[rows, widest]`, 1 where a column of cross-attention is the row's own; None if all are equal."""
        import torch

        if len(set(self.widths)) == 1:
            return None
        places = torch.arange(max(self.widths), device=self.states.device)
        return (places < torch.tensor(self.widths, device=self.states.device)[:, None]).long()

    def keep(self, order: Sequence[int], index: "torch.Tensor") -> "EncoderState":
        lengths = [self.lengths[row] for row in order]
        mask = None if self.mask is None else self.mask[index, : max(lengths)]
        return EncoderState(mask, lengths, [self.widths[row] for row in order], self.states)

    def join(self, other: "EncoderState") -> "EncoderState":
        import torch

        lengths, widths = self.lengths + other.lengths, self.widths + other.widths
        mask = None
        if self.mask is not None and other.mask is not None:
            both = [torch.nn.functional.pad(m, (0, max(lengths) - m.shape[1])) for m in (self.mask, other.mask)]
            mask = torch.cat(both)
        elif len(set(widths)) > 1:
            raise UnmergeableCache("the model does not mask its encoder's output, and these differ in length")
        return EncoderState(mask, lengths, widths, self.states)


class KVBatch:
    """Rows in one cache; made from a prefill.

    Args:
        filled: the cache that the prefill has filled.
        mask: `[rows, columns]`, 1 where a column is the row's own, 0 at padding.
        positions: `[rows, 1]`, the position of each row's next token.
        max_lengths: columns that each row may come to use.
        source: the encoder's output; None without an encoder.

    Raises:
        UnmergeableCache: rows of this cache cannot join others.
    """

    def __init__(
        self,
        filled: "DynamicCache | EncoderDecoderCache",
        mask: "torch.Tensor",
        positions: "torch.Tensor",
        max_lengths: Sequence[int],
        source: EncoderState | None = None,
    ) -> None:
        self.cache = filled
        self.block, self.cross = blocks(filled)
        self.positions = positions
        self.max_lengths = list(max_lengths)
        self.source = source
        self._mask = mask
        self._end = self.block.window[1]
        self._begins: list[int] = mask.argmax(dim=1).tolist()  # the column that each row begins at
        self._view()

    def __len__(self) -> int:
        return len(self.max_lengths)

    @property
    def kv_slots(self) -> int:
        """KV slots that the buffers take."""
        return self.block.capacity * self.block.columns + (
            self.cross.capacity * self.cross.columns if self.cross else 0
        )

    @property
    def slot_bytes(self) -> int:
        """Bytes of a KV slot, in the kind of attention that takes more."""
        return max(self.block.slot_bytes, self.cross.slot_bytes if self.cross else 0)

    @property
    def padding_ratio(self) -> float:
        """Share of padding in the columns of self-attention in use."""
        return 1 - (len(self) * self._end - sum(self._begins)) / (len(self) * self.width)

    @property
    def width(self) -> int:
        """Columns from the longest row's first to the last."""
        return self._end - min(self._begins)

    @property
    def cross_width(self) -> int:
        """Columns of cross-attention in use."""
        return max(self.source.widths) if self.source else 0

    @property
    def dtype(self) -> "torch.dtype":
        return self.block.layers[0].buffers[0].dtype

    @property
    def mask(self) -> "torch.Tensor":
        """`[rows, width + 1]` for the next step, its own column included."""
        return self._mask[: len(self), self._end - self.width : self._end + 1]

    def fit(self, rows: int, width: int, length: int, cross: int, limits: KVLimits) -> None:
        """Move to buffers for `rows` rows of `length` columns, `width` of which are in use at once."""
        capacity, columns = geometry(rows, length, cross, limits)
        used = self.width
        mask = self._mask.new_ones((capacity, columns))  # right of the window: columns that every row will own
        mask[:, : width - used] = 0
        mask[: len(self), width - used : width] = self.mask[:, :used]
        self.block.reserve(capacity, columns, width)
        if self.cross:
            self.cross.reserve(capacity, cross, 0)
        self._begins = [begin + width - self._end for begin in self._begins]
        self._mask, self._end = mask, width
        self._view()

    def tighten(self, limits: KVLimits) -> None:
        """Shrink the buffers to these limits."""
        if self.kv_slots > limits.max_kv_slots:
            self.fit(len(self), self.width, max(self.max_lengths), self.cross_width, limits)

    def make_room(self, limits: KVLimits) -> None:
        """Make sure that the next column exists."""
        if self._end >= self.block.columns:
            self.fit(len(self), self.width, max(self.width + 1, *self.max_lengths), self.cross_width, limits)

    def join(self, other: "KVBatch", limits: KVLimits) -> None:
        """Append the rows of `other`, which is not usable afterwards.

        Raises:
            UnmergeableCache: they cannot share a batch; this one is unchanged.
        """
        import torch

        source = self.source.join(other.source) if self.source and other.source else None
        first, rows = len(self), len(self) + len(other)
        cross = max(self.cross_width, other.cross_width)
        if self.block.capacity < rows or self._end < other.width or (self.cross and self.cross.columns < cross):
            self.fit(rows, max(self.width, other.width), max(*self.max_lengths, *other.max_lengths), cross, limits)
        self.block.put(other.block, first, self._end)
        if self.cross and other.cross:
            self.cross.put(other.cross, first, 0)
        begin = self._end - other.width
        self._mask[first:rows] = 1
        self._mask[first:rows, :begin] = 0
        self._mask[first:rows, begin : self._end] = other.mask[:, : other.width]
        self._begins += [begin + column - min(other._begins) for column in other._begins]
        self.positions = torch.cat([self.positions, other.positions])
        self.max_lengths += other.max_lengths
        self.source = source
        self._view()

    def keep(self, order: Sequence[int]) -> None:
        """Keep these rows, in the order that `without_gaps` returned."""
        import torch

        for place, row in enumerate(order):
            if row != place:
                self.block.move(row, place)
                if self.cross:
                    self.cross.move(row, place)
                self._mask[place] = self._mask[row]
        index = torch.tensor(order, dtype=torch.long, device=self.positions.device)
        self.positions = self.positions[index]
        self.max_lengths = [self.max_lengths[row] for row in order]
        self._begins = [self._begins[row] for row in order]
        if self.source:
            self.source = self.source.keep(order, index)
        self._view()

    def stepped(self) -> None:
        """Record that a step has written a column for every row."""
        self._end += 1
        self.positions = self.positions + 1
        self._view()

    def rewind(self) -> None:
        """Undo a failed step."""
        self._view()

    def only(self, row: int) -> None:
        """Show the next forward one row alone, until `rewind` or `stepped`."""
        self.block.view(slice(row, row + 1), self._end - self.width, self._end)
        if self.cross:
            self.cross.view(slice(row, row + 1), 0, self.cross_width)

    def _view(self) -> None:
        self.block.view(slice(0, len(self)), self._end - self.width, self._end)
        if self.cross:
            self.cross.view(slice(0, len(self)), 0, self.cross_width)
