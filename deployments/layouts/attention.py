"""Attention within each text of a pack.

TorchScript compiles this file: it keeps to what that understands, and has torch at its head. Import it where a model
runs.
"""

import torch
from torch import Tensor


def attend_within(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: list[int],
    scaling: float | None,
    causal: bool,
    window: int | None,
) -> Tensor:
    """Split at the borders of the texts, and attend within each.

    Shapes: query `[1, heads, tokens, width]`, key and value likewise (fewer heads where they are shared); returns
    `[1, tokens, heads, width]`. `window` is exclusive, as transformers passes it to flash attention.
    """
    # As few calls per text as possible: between two of them the model thread may have to wait for the interpreter.
    queries, keys, values = torch.split(query, lengths, 2), torch.split(key, lengths, 2), torch.split(value, lengths, 2)
    shared_heads = query.shape[1] != key.shape[1]
    texts: list[Tensor] = []
    for text, length in enumerate(lengths):
        mask: Tensor | None = None
        if window is not None and length > window:
            place = torch.arange(length, device=query.device)
            distance = place[:, None] - place[None]
            mask = distance.abs() < window
            if causal:
                mask = mask & (distance >= 0)
        texts.append(
            torch.nn.functional.scaled_dot_product_attention(
                queries[text],
                keys[text],
                values[text],
                attn_mask=mask,
                is_causal=causal and mask is None,
                scale=scaling,
                enable_gqa=shared_heads,
            )
        )
    return torch.cat(texts, 2).transpose(1, 2)


def attend_within_traced(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: Tensor,
    scaling: float | None,
    causal: bool,
    window: int | None,
) -> Tensor:
    """The same where the lengths of the texts are an input of the graph that is recorded."""
    sizes: list[int] = lengths.tolist()
    return attend_within(query, key, value, sizes, scaling, causal, window)
