"""More families that write about pictures: each takes its pictures in another way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers

from tests.captioning_parts import SIDE, SQUARE, TEXT, VIT, chat_template, token_ids, tokenizer_with


def _llama(tokenizer: Any) -> Any:
    return transformers.LlamaConfig(**TEXT, **token_ids(tokenizer), num_key_value_heads=2)


def _siglip() -> Any:
    return transformers.SiglipVisionConfig(**VIT, vision_use_head=False)


def llava_next(folder: Path) -> Any:
    """Tiles, as many as the picture's shape wants."""
    shapes = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    processor = transformers.LlavaNextProcessor(
        transformers.LlavaNextImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size=SQUARE, image_grid_pinpoints=shapes
        ),
        tokenizer_with(folder, "<image>"),
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat_template("<image>"),
    )
    processor.save_pretrained(folder)
    config = transformers.LlavaNextConfig(
        vision_config=transformers.CLIPVisionConfig(**VIT),
        text_config=_llama(processor.tokenizer),
        image_token_index=processor.image_token_id,
        vision_feature_layer=-1,
        image_grid_pinpoints=shapes,
    )
    return transformers.LlavaNextForConditionalGeneration(config)


def idefics3(folder: Path) -> Any:
    """Tiles in a dimension of their own, with a mask of pixels."""
    tokenizer = tokenizer_with(folder, "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    images = transformers.Idefics3ImageProcessorPil(
        size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}
    )
    template = chat_template("<image>")
    transformers.Idefics3Processor(images, tokenizer, image_seq_len=1, chat_template=template).save_pretrained(folder)
    config = transformers.Idefics3Config(
        text_config=_llama(tokenizer),
        vision_config=dict(VIT),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    return transformers.Idefics3ForConditionalGeneration(config)


def paligemma(folder: Path) -> Any:
    """No chat; the processor puts the picture in front of the text itself."""
    images = transformers.SiglipImageProcessorPil(size=SQUARE)
    images.image_seq_length = 4
    processor = transformers.PaliGemmaProcessor(images, tokenizer_with(folder, "<image>"))
    processor.save_pretrained(folder)
    config = transformers.PaliGemmaConfig(
        text_config=transformers.GemmaConfig(
            **TEXT, **token_ids(processor.tokenizer), num_key_value_heads=2, head_dim=8
        ),
        vision_config=_siglip(),
        image_token_index=processor.image_token_id,
        projection_dim=32,
    )
    return transformers.PaliGemmaForConditionalGeneration(config)


def gemma3(folder: Path) -> Any:
    """Pictures see both ways, marked by the types of their tokens; the layers have windows."""
    marks = {"boi": "<start_of_image>", "eoi": "<end_of_image>", "image": "<image_soft_token>"}
    tokenizer = tokenizer_with(folder, *marks.values(), **{f"{name}_token": mark for name, mark in marks.items()})
    images = transformers.Gemma3ImageProcessorPil(size=SQUARE)
    template = chat_template(marks["boi"])
    transformers.Gemma3Processor(images, tokenizer, image_seq_length=4, chat_template=template).save_pretrained(folder)
    config = transformers.Gemma3Config(
        text_config=transformers.Gemma3TextConfig(
            **TEXT, **token_ids(tokenizer), num_key_value_heads=2, head_dim=8, sliding_window=16
        ),
        vision_config=_siglip(),
        mm_tokens_per_image=4,
        **{f"{name}_token_index": tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()},
    )
    return transformers.Gemma3ForConditionalGeneration(config)


def blip_2(folder: Path) -> Any:
    """Its forward wants a picture at every step, so it writes in static batches."""
    tokenizer = tokenizer_with(folder, "<image>")
    images = transformers.BlipImageProcessorPil(size=SQUARE)
    transformers.Blip2Processor(images, tokenizer, num_query_tokens=3).save_pretrained(folder)
    text = transformers.OPTConfig(**TEXT, **token_ids(tokenizer), ffn_dim=64, word_embed_proj_dim=32)
    shape = {name: value for name, value in TEXT.items() if name != "max_position_embeddings"}
    config = transformers.Blip2Config(
        vision_config=dict(VIT),
        qformer_config=shape | {"encoder_hidden_size": 32, "vocab_size": 100},
        text_config=text.to_dict(),
        num_query_tokens=3,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return transformers.Blip2ForConditionalGeneration(config)


def pix2struct(folder: Path) -> Any:
    """Patches in a row, with a mask, in place of pixels."""
    tokenizer = tokenizer_with(folder)
    images = transformers.Pix2StructImageProcessorPil(max_patches=20)
    transformers.Pix2StructProcessor(images, tokenizer).save_pretrained(folder)
    sizes = {"hidden_size": 32, "d_kv": 8, "d_ff": 64}
    config = transformers.Pix2StructConfig(
        text_config=sizes | {"num_layers": 2, "num_heads": 4, "decoder_start_token_id": 1} | token_ids(tokenizer),
        vision_config=sizes | {"patch_embed_hidden_size": 768, "num_hidden_layers": 2, "num_attention_heads": 4},
    )
    return transformers.Pix2StructForConditionalGeneration(config)


def donut(folder: Path) -> Any:
    """A text names the task with a token that the decoder starts with."""
    tokenizer = tokenizer_with(folder, "<s_read>", "<s_parse>")
    images = transformers.DonutImageProcessorPil(size={"height": SIDE, "width": 2 * SIDE})
    transformers.DonutProcessor(images, tokenizer).save_pretrained(folder)
    encoder = transformers.DonutSwinConfig(
        image_size=[SIDE, 2 * SIDE], patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 4], window_size=4
    )
    decoder = transformers.MBartConfig(
        **token_ids(tokenizer),
        d_model=32,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=64,
        max_position_embeddings=256,
        is_decoder=True,
        is_encoder_decoder=False,
        add_cross_attention=True,
        forced_eos_token_id=None,
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id = tokenizer.convert_tokens_to_ids("<s_read>")
    config.pad_token_id = tokenizer.pad_token_id
    return transformers.VisionEncoderDecoderModel(config)


MORE: dict[str, Callable[[Path], Any]] = {
    "llava-next": llava_next,
    "idefics3": idefics3,
    "paligemma": paligemma,
    "gemma3": gemma3,
    "blip-2": blip_2,
    "pix2struct": pix2struct,
    "donut": donut,
}
