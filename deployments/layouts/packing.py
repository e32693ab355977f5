"""Several texts in one row of an encoder, exactly: one attention call per text, no padding.

transformers lets a model's attention be handed in (`AttentionInterface`). Ours splits queries, keys and values at the
borders of the texts and attends within each. Every other layer of an encoder works token by token, so nothing else
has to know. A forward hook behind the encoder stack unpacks `[1, tokens, width]` to `[texts, length, width]`, so that
poolers and heads run as they are; where a row names the positions that its head needs, only those go on.
"""

import functools
import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

IMPLEMENTATION = "automodel_packed"

Gather = Sequence[tuple[int, ...] | None]

# The attention function is called deep inside the model; whose call it is travels beside the call, per thread.
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
    """Attention within each text of a pack, as transformers asks for it; shapes as in `attention`.

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
    return attention.attend_within(query, key, value, pack.lengths, scaling, causal, sliding_window), None


@functools.cache
def _scripted_attention() -> Any:
    import torch

    from deployments.layouts import attention

    return torch.jit.script(attention.attend_within_traced)


class PackedAttention:
    """Gives a model the attention above, until removed.

    `calls` counts how often it ran within the last `of`: a family whose attention never asks the interface shows 0.
    """

    def __init__(self, model: Any) -> None:
        from transformers import AttentionInterface
        from transformers.masking_utils import AttentionMaskInterface

        AttentionInterface.register(IMPLEMENTATION, attend)
        AttentionMaskInterface.register(IMPLEMENTATION, lambda *args, **kwargs: None)
        self._model = model
        self._before = model.config._attn_implementation
        self.calls = 0
        self.lengths: list[int] = []  # of the texts that run
        self.state: Tensor | None = None  # the same, for a recorded call
        model.set_attn_implementation(IMPLEMENTATION)

    def remove(self) -> None:
        self._model.set_attn_implementation(self._before)

    @contextmanager
    def of(self, lengths: Sequence[int]) -> Iterator[None]:
        """Within: texts of these lengths lie end to end."""
        import torch

        self.lengths, self.state = list(lengths), torch.tensor(lengths)
        self.calls = 0
        _running.attention = self
        try:
            yield
        finally:
            del _running.attention


class GatheredPositions:
    """A hook behind a model's encoder stack: unpacks packs and drops positions that the head does not need.

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
        """Within: the stack gives `[1, sum(lengths), width]`."""
        starts, start = [], 0
        for length in lengths:
            starts.append(start)
            start += length
        with self._indexed(gather_positions, lengths, starts):
            yield

    @contextmanager
    def of_rows(self, gather_positions: Gather, stride: int) -> Iterator[None]:
        """Within: the stack gives `[rows, stride, width]`."""
        if all(keep is None for keep in gather_positions):
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

        # numpy here and wherever a text costs an operation: after each of torch's, this thread waits for the
        # interpreter again, and between two of numpy's it does not.
        width = max(gathered_lengths(lengths, gather_positions))
        index = np.zeros((len(gather_positions), width), dtype=np.int64)
        for row, (keep, length, start) in enumerate(zip(gather_positions, lengths, starts, strict=True)):
            if keep is None:
                index[row, :length] = np.arange(start, start + length)
            else:
                index[row, : len(keep)] = np.array(keep, dtype=np.int64) + start
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
        # `positions[index]` gives the same, and takes three times as long.
        gather_positions = positions.index_select(0, self.state.view(-1)).view(*self.state.shape, -1)
        if torch.is_tensor(output):
            return gather_positions
        if isinstance(output, tuple):
            return (gather_positions, *output[1:])
        output.last_hidden_state = gather_positions
        return output


def gathered_lengths(lengths: Sequence[int], gather_positions: Gather) -> list[int]:
    """How many positions of each row leave the encoder."""
    return [length if keep is None else len(keep) for length, keep in zip(lengths, gather_positions, strict=True)]


def encoder_stack(model: Any) -> Any:
    """The module behind which hidden states are final and before which nothing looks across tokens but attention."""
    base = model.base_model
    return getattr(base, "encoder", None) or getattr(base, "transformer", None) or base


def position_offset(model: Any) -> int:
    """The position id of a text's first token: RoBERTa and its relatives count from behind the padding index."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def takes_token_types(model: Any) -> bool:
    return "token_type_ids" in inspect.signature(model.forward).parameters


def device_of(model: Any) -> "torch.device":
    device: torch.device = next(model.parameters()).device
    return device
