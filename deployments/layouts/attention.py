"""Attention within each text of a pack.

TorchScript compiles this file, so it is limited to TorchScript's language and imports torch at its head. Import it only
where a model runs.
"""

import torch
from torch import Tensor


def attend_within(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: list[int],
    attended: list[int],
    scaling: float | None,
    causal: bool,
    window: int | None,
) -> Tensor:
    """Split queries, keys and values at the boundaries of the texts, and attend within each text, to its first
    `attended` positions.

    Shapes: query `[1, heads, tokens, width]`, key and value the same (with fewer heads if heads are shared); returns
    `[1, tokens, heads, width]`. `window` is exclusive, as transformers passes it to flash attention.
    """
    # As few operations per text as possible: between two of them the model thread may have to wait for the GIL.
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
        text_keys, text_values = keys[text], values[text]
        if attended[text] < length:
            text_keys, text_values = text_keys[:, :, : attended[text]], text_values[:, :, : attended[text]]
            if mask is not None:
                mask = mask[:, : attended[text]]
        texts.append(
            torch.nn.functional.scaled_dot_product_attention(
                queries[text],
                text_keys,
                text_values,
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
    """The same with lengths and attended positions as a tensor `[2, texts]`, an input of the traced graph."""
    sizes: list[int] = lengths[0].tolist()
    attended: list[int] = lengths[1].tolist()
    return attend_within(query, key, value, sizes, attended, scaling, causal, window)
