"""Packing: several texts in one row of an encoder, without padding and with exact outputs.

A custom attention function, registered with transformers' `AttentionInterface`, splits queries, keys and values at the
boundaries of the texts and attends within each text. All other layers of an encoder work token by token. A forward hook
after the encoder stack unpacks `[1, tokens, width]` to `[texts, length, width]`, so poolers and heads run unchanged; if
a row names the positions that its head needs, only those are gathered.
"""

import functools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

IMPLEMENTATION = "automodel_packed"

SHORTEST_ROW = 48  # positions of a rectangle's row; many short rows cost more than a few with several texts

Gather = Sequence[tuple[int, ...] | None]

# The attention function is called deep inside the model; the pack of the current call is passed per thread.
_running = threading.local()


def attend(
    module: Any,
    query: "Tensor",
    key: "Tensor",
    value: "Tensor",
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple["Tensor", None]:
    """Attention within each text of a pack, with the interface that transformers expects; shapes as in `attention`.

    `sliding_window` is exclusive, as transformers passes it to flash attention.
    """
    pack: PackedAttention | RectangularAttention = _running.attention
    pack.calls += 1
    causal = bool(getattr(module, "is_causal", False))
    return pack.attend(query, key, value, scaling, causal, sliding_window), None


@functools.cache
def _scripted_attention() -> Any:
    import torch

    from deployments.layouts import attention

    return torch.jit.script(attention.attend_within_traced)


class _InstalledAttention:
    """Installs the packed attention in a model, until removed.

    `calls` counts its calls within the last forward; it stays 0 for a model that does not use `AttentionInterface`.
    """

    def __init__(self, model: Any) -> None:
        from transformers import AttentionInterface
        from transformers.masking_utils import AttentionMaskInterface

        AttentionInterface.register(IMPLEMENTATION, attend)
        AttentionMaskInterface.register(IMPLEMENTATION, lambda *args, **kwargs: None)
        self._model = model
        self._before = model.config._attn_implementation
        self.calls = 0
        model.set_attn_implementation(IMPLEMENTATION)

    def remove(self) -> None:
        self._model.set_attn_implementation(self._before)

    @contextmanager
    def _installed(self) -> Iterator[None]:
        self.calls = 0
        _running.attention = self
        try:
            yield
        finally:
            del _running.attention


class PackedAttention(_InstalledAttention):
    """One call of attention per text."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.lengths: tuple[list[int], list[int]] = ([], [])  # of the texts in the current forward, and attended to
        self.state: Tensor | None = None  # the same, as an input of the traced graph

    def attend(
        self, query: "Tensor", key: "Tensor", value: "Tensor", scaling: float | None, causal: bool, window: int | None
    ) -> "Tensor":
        """Attend within each text; shapes as in `attention`."""
        import torch

        from deployments.layouts import attention

        jit: Any = torch.jit
        if jit.is_tracing():
            traced: Tensor = _scripted_attention()(query, key, value, self.state, scaling, causal, window)
            return traced
        return attention.attend_within(query, key, value, *self.lengths, scaling, causal, window)

    @contextmanager
    def of(self, lengths: Sequence[int], attended: Sequence[int] | None = None) -> Iterator[None]:
        """Within this context, the forward's row is a pack of texts of these lengths, of which the first `attended`
        positions are attended to; all by default."""
        import torch

        self.lengths = list(lengths), list(lengths if attended is None else attended)
        self.state = torch.tensor(self.lengths)
        with self._installed():
            yield


class RectangularAttention(_InstalledAttention):
    """One call of attention for all texts: what it reads is gathered to a padded rectangle, and back.

    No operation depends on the number of texts, so that an exported graph holds for any pack.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._shared_heads = any(getattr(module, "num_key_value_groups", 1) != 1 for module in model.modules())

    @contextmanager
    def of(self, places: "Mapping[str, Tensor]") -> Iterator[None]:
        """Within this context, the forward's row is a pack with these `rectangle` arrays."""
        self._places = places
        with self._installed():
            yield

    def attend(
        self, query: "Tensor", key: "Tensor", value: "Tensor", scaling: float | None, causal: bool, window: int | None
    ) -> "Tensor":
        """Attend within each text; shapes as in `attention`."""
        import torch

        into, back = self._places["pack_into"], self._places["pack_back"]
        count, width = into.shape[0], into.shape[1]

        def padded(states: "Tensor") -> "Tensor":
            rows = states[0].transpose(0, 1).index_select(0, into.reshape(-1))
            return rows.reshape(count, width, states.shape[1], states.shape[3]).transpose(1, 2)

        mask = self._places["pack_mask"][:, None]
        if causal or window is not None:
            place = torch.arange(width, device=query.device)
            distance = place[:, None] - place[None]
            if window is not None:
                mask = mask & (distance.abs() < window)[None, None]
            if causal:
                mask = mask & (distance >= 0)[None, None]
        attended = torch.nn.functional.scaled_dot_product_attention(
            padded(query), padded(key), padded(value), attn_mask=mask, scale=scaling, enable_gqa=self._shared_heads
        )
        flat = attended.transpose(1, 2).reshape(-1, attended.shape[1], attended.shape[3])
        return flat.index_select(0, back)[None]


class GatheredPositions:
    """A hook after a model's encoder stack that unpacks packs and gathers the positions that the head needs.

    Args:
        model: any transformers model with an encoder.
    """

    def __init__(self, model: Any) -> None:
        self.state: Tensor | None = None  # [rows, positions] into the flattened tokens
        self._handle = encoder_stack(model).register_forward_hook(self._hook)
        self._device = device_of(model)

    def remove(self) -> None:
        self._handle.remove()

    @contextmanager
    def of_pack(self, gather_positions: Gather, lengths: Sequence[int]) -> Iterator[None]:
        """Within this context, the stack outputs `[1, sum(lengths), width]`."""
        with self._of_arrays(head_positions(gather_positions, lengths, stride=None)):
            yield

    @contextmanager
    def of_rows(self, gather_positions: Gather, stride: int) -> Iterator[None]:
        """Within this context, the stack outputs `[rows, stride, width]`."""
        if all(positions is None for positions in gather_positions):
            yield
            return
        with self._of_arrays(head_positions(gather_positions, [stride] * len(gather_positions), stride)):
            yield

    def _of_arrays(self, index: Any) -> AbstractContextManager[None]:
        import torch

        return self.at(torch.from_numpy(index).to(self._device))

    @contextmanager
    def at(self, index: "Tensor") -> Iterator[None]:
        """Within this context, the stack's output is gathered at these positions, as from `head_positions`."""
        self.state = index
        try:
            yield
        finally:
            self.state = None

    def _hook(self, module: Any, args: Any, output: Any) -> Any:
        import torch

        if self.state is None:
            return None
        hidden = output if torch.is_tensor(output) else output[0]
        positions = hidden.reshape(-1, hidden.shape[-1])
        # `positions[index]` gives the same result but takes three times as long.
        gathered = positions.index_select(0, self.state.view(-1)).view(*self.state.shape, -1)
        if torch.is_tensor(output):
            return gathered
        if isinstance(output, tuple):
            return (gathered, *output[1:])
        output.last_hidden_state = gathered
        return output


def rectangle(lengths: Sequence[int], attended: Sequence[int]) -> dict[str, Any]:
    """How the tokens of a pack become a rectangle for attention, as wide as the longest text; short texts share a row.

    Returns:
        `pack_into` `[rows, width]`, indices of tokens; `pack_back` `[tokens]`, indices into the flattened rectangle;
        `pack_mask` `[rows, width, width]`, which positions attend to which.
    """
    import numpy as np

    width = max(SHORTEST_ROW, *lengths)
    rows = _rows_of(lengths, width)
    into = np.zeros((len(rows), width), np.int64)
    mask = np.zeros((len(rows), width, width), np.bool_)
    starts = np.cumsum([0, *lengths])
    back = np.empty(starts[-1], np.int64)
    for index, texts in enumerate(rows):
        place = 0
        for text in texts:
            start, length = starts[text], lengths[text]
            end = place + length
            into[index, place:end] = np.arange(start, start + length)
            back[start : start + length] = np.arange(index * width + place, index * width + end)
            mask[index, place:end, place : place + attended[text]] = True
            place = end
        mask[index, place:, :1] = True  # a position that attends to none would be NaN
    return {"pack_into": into, "pack_back": back, "pack_mask": mask}


def _rows_of(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Texts by row, the longest first, each in the first row with room for it (first fit decreasing)."""
    rows: list[list[int]] = []
    room: list[int] = []
    for text in sorted(range(len(lengths)), key=lambda text: -lengths[text]):
        row = next((row for row, left in enumerate(room) if left >= lengths[text]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(width)
        rows[row].append(text)
        room[row] -= lengths[text]
    return rows


def head_positions(gather_positions: Gather, lengths: Sequence[int], stride: int | None) -> Any:
    """The positions of each row that go on to the head, `[rows, most of a row]`, as indices into all tokens.

    Args:
        gather_positions: of each row; None for all.
        lengths: of the rows.
        stride: from the start of a row to that of the next one; None: rows follow one another without padding.
    """
    import numpy as np

    # numpy, here and wherever an operation runs per text: each torch operation releases the GIL and waits for it again,
    # small numpy operations do not.
    index = np.zeros((len(lengths), max(gathered_lengths(lengths, gather_positions))), dtype=np.int64)
    start = 0
    for row, (positions, length) in enumerate(zip(gather_positions, lengths, strict=True)):
        if positions is None:
            index[row, :length] = np.arange(start, start + length)
        else:
            index[row, : len(positions)] = np.array(positions, dtype=np.int64) + start
        start += length if stride is None else stride
    return index


def gathered_lengths(lengths: Sequence[int], gather_positions: Gather) -> list[int]:
    """The number of positions of each row after gathering."""
    return [
        length if positions is None else len(positions)
        for length, positions in zip(lengths, gather_positions, strict=True)
    ]


def encoder_stack(model: Any) -> Any:
    """The module whose output are the final hidden states; before it, only attention mixes tokens."""
    base = model.base_model
    return getattr(base, "encoder", None) or getattr(base, "transformer", None) or base


def positions_of(ids: Sequence[int], offset: int) -> Iterable[int]:
    """The position ids of a text, `[length]`.

    Args:
        ids: of its tokens.
        offset: the position of the first token. Above 0, tokens of the padding id before it, which a text may
            contain by name, have that id as their position and are not counted.
    """
    padding = offset - 1
    if not offset or padding not in ids:
        return range(offset, offset + len(ids))
    real = accumulate(token != padding for token in ids)
    return [padding if token == padding else padding + count for token, count in zip(ids, real, strict=True)]


def tensors(model: Any, arrays: Mapping[str, Any]) -> "dict[str, Tensor]":
    """Arrays as tensors on the model's device."""
    import torch

    device = device_of(model)
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def device_of(model: Any) -> "torch.device":
    device: torch.device = next(model.parameters()).device
    return device
