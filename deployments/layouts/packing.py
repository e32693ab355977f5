"""Packing: several texts in one row of an encoder, without padding and with exact outputs.

A custom attention function, registered with transformers' `AttentionInterface`, splits queries, keys and values at the
boundaries of the texts and attends within each text. All other layers of an encoder work token by token. A forward hook
after the encoder stack unpacks `[1, tokens, width]` to `[texts, length, width]`, so poolers and heads run unchanged; if
a row names the positions that its head needs, only those are gathered.
"""

import functools
import inspect
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

IMPLEMENTATION = "automodel_packed"

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
    import torch

    from deployments.layouts import attention

    jit: Any = torch.jit
    pack: PackedAttention = _running.attention
    pack.calls += 1
    causal = bool(getattr(module, "is_causal", False))
    if jit.is_tracing():
        traced = _scripted_attention()
        return traced(query, key, value, pack.state, scaling, causal, sliding_window), None
    attended = attention.attend_within(query, key, value, *pack.lengths, scaling, causal, sliding_window)
    return attended, None


@functools.cache
def _scripted_attention() -> Any:
    import torch

    from deployments.layouts import attention

    return torch.jit.script(attention.attend_within_traced)


class PackedAttention:
    """Installs the packed attention in a model, until removed.

    `calls` counts its calls within the last `of`; it stays 0 for a model that does not use `AttentionInterface`.
    """

    def __init__(self, model: Any) -> None:
        from transformers import AttentionInterface
        from transformers.masking_utils import AttentionMaskInterface

        AttentionInterface.register(IMPLEMENTATION, attend)
        AttentionMaskInterface.register(IMPLEMENTATION, lambda *args, **kwargs: None)
        self._model = model
        self._before = model.config._attn_implementation
        self.calls = 0
        self.lengths: tuple[list[int], list[int]] = ([], [])  # of the texts in the current forward, and attended to
        self.state: Tensor | None = None  # the same, as an input of the traced graph
        model.set_attn_implementation(IMPLEMENTATION)

    def remove(self) -> None:
        self._model.set_attn_implementation(self._before)

    @contextmanager
    def of(self, lengths: Sequence[int], attended: Sequence[int] | None = None) -> Iterator[None]:
        """Within this context, the forward's row is a pack of texts of these lengths, of which the first `attended`
        positions are attended to; all by default."""
        import torch

        self.lengths = list(lengths), list(lengths if attended is None else attended)
        self.state = torch.tensor(self.lengths)
        self.calls = 0
        _running.attention = self
        try:
            yield
        finally:
            del _running.attention


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
        starts, start = [], 0
        for length in lengths:
            starts.append(start)
            start += length
        with self._indexed(gather_positions, lengths, starts):
            yield

    @contextmanager
    def of_rows(self, gather_positions: Gather, stride: int) -> Iterator[None]:
        """Within this context, the stack outputs `[rows, stride, width]`."""
        if all(positions is None for positions in gather_positions):
            yield
            return
        with self._indexed(
            gather_positions, [stride] * len(gather_positions), [row * stride for row in range(len(gather_positions))]
        ):
            yield

    @contextmanager
    def _indexed(self, gather_positions: Gather, lengths: Sequence[int], starts: Sequence[int]) -> Iterator[None]:
        import numpy as np
        import torch

        # numpy, here and wherever an operation runs per text: each torch operation releases the GIL and waits for it
        # again, small numpy operations do not.
        width = max(gathered_lengths(lengths, gather_positions))
        index = np.zeros((len(gather_positions), width), dtype=np.int64)
        for row, (positions, length, start) in enumerate(zip(gather_positions, lengths, starts, strict=True)):
            if positions is None:
                index[row, :length] = np.arange(start, start + length)
            else:
                index[row, : len(positions)] = np.array(positions, dtype=np.int64) + start
        self.state = torch.from_numpy(index).to(self._device)
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


def position_offset(model: Any) -> int:
    """The position id of a text's first token; RoBERTa and related models count from after the padding index."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def positions_of(ids: Sequence[int], offset: int) -> Iterable[int]:
    """The position ids of a text, `[length]`.

    Args:
        ids: of its tokens.
        offset: as from `position_offset`. Above 0, tokens of the padding id before it, which a text may contain by
            name, have that id as their position and are not counted.
    """
    padding = offset - 1
    if not offset or padding not in ids:
        return range(offset, offset + len(ids))
    real = accumulate(token != padding for token in ids)
    return [padding if token == padding else padding + count for token, count in zip(ids, real, strict=True)]


def takes_token_types(model: Any) -> bool:
    return "token_type_ids" in inspect.signature(model.forward).parameters


def device_of(model: Any) -> "torch.device":
    device: torch.device = next(model.parameters()).device
    return device
