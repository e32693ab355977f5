"""What an encoder-decoder's decoder has said before its first own token."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def decoder_start(model: "torch.nn.Module") -> tuple[int, ...] | None:
    """The token that `generate` lets a decoder start with; None where the checkpoint names none."""
    holders: list[Any] = [model.generation_config, model.config, getattr(model.config, "decoder", None)]
    for name in ("decoder_start_token_id", "bos_token_id"):
        for holder in holders:
            token = getattr(holder, name, None)
            if isinstance(token, int):
                return (token,)
    return None
