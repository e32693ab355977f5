"""Packing: several texts in one row of an encoder, without padding and with exact outputs.

A custom attention function, registered with transformers' `AttentionInterface`, splits queries, keys and values at the
boundaries of the texts and attends within each text. All other layers of an encoder work token by token. A forward hook
after the encoder stack unpacks `[1, tokens, width]` to `[texts, length, width]`, so poolers and heads run unchanged; if
a row names the positions that its head needs, only those are gathered.
"""

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
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
    pack: InstalledAttention = _running.attention
    pack.calls += 1
    causal = bool(getattr(module, "is_causal", False))
    return pack.attend(query, key, value, scaling, causal, sliding_window), None


@functools.cache
def _scripted_attention() -> Any:
    import torch

    from deployments.layouts import attention

    return torch.jit.script(attention.attend_within_traced)


class InstalledAttention(ABC):
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

    @abstractmethod
    def attend(
        self, query: "Tensor", key: "Tensor", value: "Tensor", scaling: float | None, causal: bool, window: int | None
    ) -> "Tensor":
        """Attend within each text; shapes as in `attention`."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within this context, forwards of this thread attend here."""
        self.calls = 0
        _running.attention = self
        try:
            yield
        finally:
            del _running.attention


class PackedAttention(InstalledAttention):
    """One call of attention per text."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.lengths: tuple[list[int], list[int]] = ([], [])  # of the texts in the current forward, and attended to
        self.state: Tensor | None = None  # the same, as an input of the traced graph

    def attend(
        self, query: "Tensor", key: "Tensor", value: "Tensor", scaling: float | None, causal: bool, window: int | None
    ) -> "Tensor":
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
        with self.installed():
            yield


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
