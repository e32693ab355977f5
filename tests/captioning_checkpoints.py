"""Small checkpoints that write about pictures, saved as the hub has them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers

from tests.captioning_families import MORE
from tests.captioning_parts import SIDE, SQUARE, TEXT, VIT, chat_template, token_ids, tokenizer_with
from tests.checkpoints import small_tokenizer
from tests.generation_models import spread

_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
_TROCR = {"d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64}


def _encoder_decoder(folder: Path, decoder: Callable[[dict[str, int]], Any]) -> Any:
    """Its processors lie in the folder by themselves, as most of these have it."""
    tokenizer = small_tokenizer("bytelevel", folder, token_types=False)
    settings = {"image_processor_type": "ViTImageProcessor", "size": SQUARE}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    ids = token_ids(tokenizer)
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**VIT), decoder(ids)
    )
    config.decoder_start_token_id, config.pad_token_id = ids["bos_token_id"], ids["pad_token_id"]
    return transformers.VisionEncoderDecoderModel(config)


def _vit_gpt2(folder: Path) -> Any:
    return _encoder_decoder(
        folder, lambda ids: transformers.GPT2Config(**_GPT2, **ids, add_cross_attention=True, is_decoder=True)
    )


def _trocr(folder: Path) -> Any:
    return _encoder_decoder(folder, lambda ids: transformers.TrOCRConfig(**_TROCR, **ids, max_position_embeddings=256))


def _blip(folder: Path) -> Any:
    tokenizer = small_tokenizer("wordpiece", folder)
    transformers.BlipProcessor(transformers.BlipImageProcessorPil(size=SQUARE), tokenizer).save_pretrained(folder)
    text = TEXT | token_ids(tokenizer) | {"sep_token_id": tokenizer.sep_token_id, "encoder_hidden_size": 48}
    # Its end token is the separator; what is called so is another.
    text["eos_token_id"] = tokenizer.mask_token_id
    config = transformers.BlipConfig(text_config=text, vision_config=VIT | {"hidden_size": 48})
    return transformers.BlipForConditionalGeneration(config)


def _git(folder: Path) -> Any:
    tokenizer = small_tokenizer("wordpiece", folder)
    images = transformers.CLIPImageProcessorPil(size=SQUARE, crop_size=SQUARE)
    transformers.GitProcessor(images, tokenizer).save_pretrained(folder)
    config = transformers.GitConfig(vision_config=dict(VIT), **TEXT, **token_ids(tokenizer))
    return transformers.GitForCausalLM(config)


def _llava(folder: Path) -> Any:
    tokenizer = tokenizer_with(folder, "<image>")
    images = transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SQUARE)
    processor = transformers.LlavaProcessor(
        images,
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat_template("<image>"),
    )
    processor.save_pretrained(folder)
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VIT),
        text_config=transformers.LlamaConfig(**TEXT, **token_ids(tokenizer), num_key_value_heads=2),
        image_token_index=processor.image_token_id,
        vision_feature_layer=-1,
    )
    return transformers.LlavaForConditionalGeneration(config)


_FAMILIES: dict[str, Callable[[Path], Any]] = {
    "vit-gpt2": _vit_gpt2,
    "trocr": _trocr,
    "blip": _blip,
    "git": _git,
    "llava": _llava,
}
FAMILIES = tuple(_FAMILIES)
MORE_FAMILIES = tuple(MORE)


def captioning_checkpoint(folder: Path, family: str) -> Path:
    """Save a random model of a family in `FAMILIES` or `MORE_FAMILIES` with its processors, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    spread((_FAMILIES | MORE)[family](folder)).save_pretrained(folder)
    return folder
