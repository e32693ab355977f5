"""The running batch's keys and values: preallocated buffers that rows join and leave.

transformers' `DynamicCache` copies every key and value at every step, and merging two of them copies them again. Here a
step writes one column in place and the model reads a view of the buffer; only a joining row is copied, and the last row
moves into the slot of one that leaves. Everything is copied only when the buffer must grow.

Self-attention is aligned on the right (all rows decode in the same column; a short row has masked columns on its left),
cross-attention on the left. Sliding-window layers keep all their columns here: the model's mask hides those outside the
window.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from deployments.generation.transformers_internals import brings_own_cache, cache_of, is_stateful, layer_kinds

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, EncoderDecoderCache

Align = Literal["left", "right"]
LAYER_KINDS = frozenset({"full_attention", "sliding_attention"})  # whose rows can be merged


class Layer:
    """Keys and values of one layer, `[slots, heads, columns, size]`, with the interface of transformers' cache layers.

    Attributes:
        buffers: keys and values; empty before the first forward.
        rows: slots that the next forward reads and writes.
        start, end: the columns in use.
    """

    is_compileable = False
    is_croppable = False
    is_sliding = False
    supports_early_init = False

    def __init__(self) -> None:
        self.buffers: tuple[torch.Tensor, ...] = ()
        self.rows = slice(0, 0)
        self.start = 0
        self.end = 0

    @property
    def is_initialized(self) -> bool:
        return bool(self.buffers)

    @property
    def keys(self) -> "torch.Tensor":
        return self.buffers[0][self.rows, :, self.start : self.end]

    @property
    def values(self) -> "torch.Tensor":
        return self.buffers[1][self.rows, :, self.start : self.end]

    def update(
        self, keys: "torch.Tensor", values: "torch.Tensor", *args: Any, **kwargs: Any
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Append columns and return all in use.

        Args:
            keys: `[rows, heads, new columns, size]`.
            values: the same; their size may differ.
        """
        import torch

        end = self.end + keys.shape[-2]
        if not self.buffers:
            self.rows = slice(0, keys.shape[0])
            self.buffers = (keys.contiguous(), values.contiguous())
            self.end = end
            return self.buffers[0], self.buffers[1]
        if end > self.buffers[0].shape[2]:  # a prompt read in pieces; the running batch has its column
            more = (0, 0, 0, end - self.buffers[0].shape[2])
            self.buffers = tuple(torch.nn.functional.pad(buffer, more) for buffer in self.buffers)
        for buffer, new in zip(self.buffers, (keys, values), strict=True):
            buffer[self.rows, :, self.end : end] = new
        self.end = end
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.end - self.start

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(columns that the mask covers, columns before them), for this forward's queries."""
        return self.end - self.start + query_length, 0

    def get_max_length(self) -> int:
        return -1


class Block:
    """The layers of one kind of attention, all with the same rows and columns.

    Args:
        cache: made by `new_cache`, filled by a forward.
        align: the side on which rows of different length are aligned.
    """

    def __init__(self, cache: "DynamicCache", align: Align) -> None:
        self.cache = cache
        self.align = align

    @property
    def layers(self) -> Sequence[Layer]:
        return self.cache.layers  # type: ignore[no-any-return]

    @property
    def capacity(self) -> int:
        """Rows that the buffers have room for."""
        return int(self.layers[0].buffers[0].shape[0])

    @property
    def columns(self) -> int:
        """Columns that the buffers have room for."""
        return int(self.layers[0].buffers[0].shape[2])

    @property
    def slot_bytes(self) -> int:
        """Bytes of a KV slot: a key and a value in every layer."""
        return sum(buffer.element_size() * buffer[0, :, 0].numel() for layer in self.layers for buffer in layer.buffers)

    @property
    def window(self) -> tuple[int, int]:
        """Columns in use: from, to."""
        return self.layers[0].start, self.layers[0].end

    def view(self, rows: slice, start: int, end: int) -> None:
        """Set the rows and columns that the next forward reads; also undoes a forward that failed halfway."""
        for layer in self.layers:
            layer.rows, layer.start, layer.end = rows, start, end

    def reserve(self, capacity: int, columns: int, end: int) -> None:
        """Move to new buffers, where the columns in use end at `end` (aligned right) or begin at 0 (left)."""
        start, old_end = self.window
        used = min(self.capacity, capacity)
        at = end - (old_end - start) if self.align == "right" else 0
        for layer in self.layers:
            moved = []
            for buffer in layer.buffers:
                # Zeros: a masked column still takes part in sums, and a NaN left in memory would spread.
                new = buffer.new_zeros((capacity, buffer.shape[1], columns, buffer.shape[3]))
                new[:used, :, at : at + old_end - start] = buffer[:used, :, start:old_end]
                moved.append(new)
            layer.buffers = tuple(moved)
            layer.start, layer.end = at, at + old_end - start

    def put(self, other: "Block", first: int, end: int) -> None:
        """Copy another block's rows into the slots from `first` on, where their columns end at `end` (aligned right)
        or begin at 0 (left)."""
        start, other_end = other.window
        rows = other.layers[0].rows
        count = rows.stop - rows.start
        at = end - (other_end - start) if self.align == "right" else 0
        for layer, other_layer in zip(self.layers, other.layers, strict=True):
            for buffer, new in zip(layer.buffers, other_layer.buffers, strict=True):
                slots = buffer[first : first + count]
                slots.zero_()  # as in `reserve`: the row that left this slot may have had NaN
                slots[:, :, at : at + other_end - start] = new[rows, :, start:other_end]

    def move(self, source: int, target: int) -> None:
        """Copy a row over another, with the zeros around its columns."""
        for layer in self.layers:
            for buffer in layer.buffers:
                buffer[target] = buffer[source]


def new_cache(*, cross: bool) -> "DynamicCache | EncoderDecoderCache":
    """An empty cache for a model's `past_key_values`; `cross`: the model has an encoder."""
    from transformers import EncoderDecoderCache

    return EncoderDecoderCache(cache_of(Layer), cache_of(Layer)) if cross else cache_of(Layer)


def blocks(filled: "DynamicCache | EncoderDecoderCache") -> tuple[Block, Block | None]:
    """(self-attention, cross-attention or None) of a cache that a forward has filled.

    Raises:
        UnmergeableCache: the model keeps its state in another form than keys and values.
    """
    parts = [getattr(filled, "self_attention_cache", filled), getattr(filled, "cross_attention_cache", None)]
    for part in parts:
        if part is None:
            continue
        layers = getattr(part, "layers", None)
        if not layers:
            raise UnmergeableCache(f"the model does not fill the cache that it is passed ({type(part).__name__})")
        others = {type(layer).__name__ for layer in layers if not (isinstance(layer, Layer) and layer.is_initialized)}
        if others:
            raise UnmergeableCache(f"its cache has layers that cannot be merged: {', '.join(sorted(others))}")
        if len({(layer.end, layer.buffers[0].shape[0]) for layer in layers}) > 1:
            raise UnmergeableCache("the layers of its cache have different lengths")
    return Block(parts[0], "right"), Block(parts[1], "left") if parts[1] is not None else None


class UnmergeableCache(Exception):
    """A cache whose rows cannot join those of another."""


def why_not(model: "torch.nn.Module") -> str | None:
    """Why this model's rows cannot join a running batch, by its configuration; None if nothing there speaks against it.

    The check at load (`check.py`) finds the rest by running the model.
    """
    if is_stateful(model):
        return "it keeps a running state (state-space or recurrent) instead of keys and values"
    if brings_own_cache(model):
        return "it uses a cache of its own"
    if others := set(layer_kinds(model.config)) - LAYER_KINDS:
        return f"its cache has layers that cannot be merged: {', '.join(sorted(others))}"
    return None
