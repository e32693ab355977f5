"""Small checkpoints that write about pictures, saved as the hub has them, and what transformers says with them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.checkpoints import small_tokenizer
from tests.generation_models import spread

SIDE = 32
_SQUARE = {"height": SIDE, "width": SIDE}
_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": SIDE,
    "patch_size": 16,
}
_TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
_TROCR = {"d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64}
CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ message.role }}: "
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


def _ids(tokenizer: Any) -> dict[str, int]:
    names = {"pad_token_id": "pad", "bos_token_id": "cls", "eos_token_id": "sep"}
    return {"vocab_size": len(tokenizer)} | {key: getattr(tokenizer, f"{name}_token_id") for key, name in names.items()}


def _encoder_decoder(folder: Path, decoder: Callable[[dict[str, int]], Any]) -> Any:
    """Its processors lie in the folder by themselves, as most of these have it."""
    tokenizer = small_tokenizer("bytelevel", folder, token_types=False)
    settings = {"image_processor_type": "ViTImageProcessor", "size": _SQUARE}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    ids = _ids(tokenizer)
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**_VIT), decoder(ids)
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
    transformers.BlipProcessor(transformers.BlipImageProcessorPil(size=_SQUARE), tokenizer).save_pretrained(folder)
    text = _TEXT | _ids(tokenizer) | {"sep_token_id": tokenizer.sep_token_id, "encoder_hidden_size": 48}
    # Its end token is the separator; what is called so is another.
    text["eos_token_id"] = tokenizer.mask_token_id
    config = transformers.BlipConfig(text_config=text, vision_config=_VIT | {"hidden_size": 48})
    return transformers.BlipForConditionalGeneration(config)


def _git(folder: Path) -> Any:
    tokenizer = small_tokenizer("wordpiece", folder)
    images = transformers.CLIPImageProcessorPil(size=_SQUARE, crop_size=_SQUARE)
    transformers.GitProcessor(images, tokenizer).save_pretrained(folder)
    config = transformers.GitConfig(vision_config=dict(_VIT), **_TEXT, **_ids(tokenizer))
    return transformers.GitForCausalLM(config)


def _llava(folder: Path) -> Any:
    tokenizer = small_tokenizer("bytelevel", folder, token_types=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    images = transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=_SQUARE)
    processor = transformers.LlavaProcessor(
        images,
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    processor.save_pretrained(folder)
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**_VIT),
        text_config=transformers.LlamaConfig(**_TEXT, **_ids(tokenizer), num_key_value_heads=2),
        image_token_index=processor.image_token_id,
        vision_feature_layer=-1,
    )
    return transformers.LlavaForConditionalGeneration(config)


_FAMILIES = {"vit-gpt2": _vit_gpt2, "trocr": _trocr, "blip": _blip, "git": _git, "llava": _llava}
FAMILIES = tuple(_FAMILIES)


def captioning_checkpoint(folder: Path, family: str) -> Path:
    """Save a random model of a family in `FAMILIES` with its processors, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    spread(_FAMILIES[family](folder)).save_pretrained(folder)
    return folder


class Reference:
    """What a checkpoint says when transformers loads and runs it, one picture at a time."""

    def __init__(self, folder: Path, family: str) -> None:
        self.family = family
        self.model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
        self._images = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
        self._both = transformers.AutoProcessor.from_pretrained(folder)
        self.tokenizer = getattr(self._both, "tokenizer", self._both)

    def inputs(self, picture: Any, text: str | None) -> dict[str, Any]:
        """What its family's documentation hands to `generate`."""
        if self.family == "llava":
            words = [] if text is None else [{"type": "text", "text": text}]
            return self.chat([{"role": "user", "content": [{"type": "image", "image": picture}, *words]}])
        if self.family == "blip":
            return dict(self._both(images=picture, text=text, return_tensors="pt"))
        inputs = dict(self._images(images=picture, return_tensors="pt"))
        if text is not None:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            name, start = ("input_ids", self.tokenizer.cls_token_id) if self.family == "git" else (
                "decoder_input_ids",
                self.model.generation_config.decoder_start_token_id,
            )  # fmt: skip
            inputs[name] = torch.tensor([[start, *ids]])
        return inputs

    def chat(self, chat: Sequence[Any]) -> dict[str, Any]:
        """The inputs of a chat, whose pictures are decoded."""
        return dict(
            self._both.apply_chat_template(
                chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
        )

    def says(self, inputs: dict[str, Any], **options: Any) -> str:
        """The text of `generate`, the prompt included."""
        with torch.inference_mode():
            output = self.model.generate(**inputs, do_sample=False, **options)[0]
        return str(self.tokenizer.decode(output, skip_special_tokens=True))

    def prompt(self, text: str | None) -> str:
        """What of that text was not written, but read."""
        if text is None or self.family == "llava":
            return "user: " + (text or "") + "\nassistant: " if self.family == "llava" else ""
        return str(self.tokenizer.decode(self.tokenizer(text)["input_ids"], skip_special_tokens=True))
