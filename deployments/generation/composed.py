"""Models that keep an encoder and a decoder side by side without calling them as one."""

from copy import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig


def composed(model: "torch.nn.Module", start_token_id: int | None) -> "torch.nn.Module":
    """The model to serve: itself, or its picture encoder and its text decoder as one encoder-decoder.

    BLIP's own forward knows no cache, and its `generate` calls the two parts one after the other; so does
    `VisionEncoderDecoder`, whose forward does.

    Args:
        model: in eval mode; its decoder's configuration is told what it reads.
        start_token_id: the decoder's first token.
    """
    parts: Any = model
    if not _has_parts(model):
        return model
    from transformers import VisionEncoderDecoderModel

    parts.text_decoder.config.is_decoder = True
    parts.text_decoder.config.cross_attention_hidden_size = parts.vision_model.config.hidden_size
    whole: Any = VisionEncoderDecoderModel(encoder=parts.vision_model, decoder=parts.text_decoder)
    whole.config.decoder_start_token_id = start_token_id
    whole.config.pad_token_id = parts.text_decoder.config.pad_token_id
    whole.eval()
    return whole  # type: ignore[no-any-return]


def defaults_of(model: Any) -> "GenerationConfig":
    """What `generate` goes by: BLIP's asks its decoder's options, not the model's, and ends at the separator."""
    if not _has_parts(model):
        return model.generation_config
    defaults: GenerationConfig = copy(model.text_decoder.generation_config)
    defaults.eos_token_id = model.config.text_config.sep_token_id
    return defaults


def _has_parts(model: "torch.nn.Module") -> bool:
    return hasattr(model, "vision_model") and hasattr(model, "text_decoder")
