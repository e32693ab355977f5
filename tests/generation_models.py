"""Small generating models with random weights, for tests: a wrong mask, position or neighbour changes their tokens.

Weights are drawn far apart; as transformers initialises them (standard deviation 0.02), models repeat one token
whatever they read.
"""

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import torch
import transformers

from deployments.generation.adapters import as_encoder_decoder
from deployments.generation.sequence import GenerationSequence, Prompt

VOCABULARY = 99
_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GQA = _SMALL | {"num_key_value_heads": 2}
_BART = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
    "forced_eos_token_id": None,
}
_FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
        | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    ),
    "llama": ("LlamaConfig", "LlamaForCausalLM", _GQA),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", _GQA | {"head_dim": 8}),
    "gpt-neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", _SMALL),
    "phi": ("PhiConfig", "PhiForCausalLM", _SMALL),
    "opt": (
        "OPTConfig",
        "OPTForCausalLM",
        _SMALL | {"ffn_dim": 64, "word_embed_proj_dim": 32},
    ),
    "bloom": (
        "BloomConfig",
        "BloomForCausalLM",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4, "pad_token_id": 0, "eos_token_id": 2},
    ),
    "gemma": ("GemmaConfig", "GemmaForCausalLM", _GQA | {"head_dim": 8}),
    # The window (8 tokens) is far shorter than what the tests generate.
    "gemma3": (
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        _GQA | {"head_dim": 8, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "mistral": ("MistralConfig", "MistralForCausalLM", _GQA | {"sliding_window": 8}),
    "falcon": ("FalconConfig", "FalconForCausalLM", _SMALL | {"alibi": True, "new_decoder_architecture": False}),
    "mamba": (
        "MambaConfig",
        "MambaForCausalLM",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
        | {"pad_token_id": 0, "eos_token_id": 2},
    ),
    "t5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
        | {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0},
    ),
    "bart": ("BartConfig", "BartForConditionalGeneration", _BART),
    "mbart": ("MBartConfig", "MBartForConditionalGeneration", _BART),
    "marian": ("MarianConfig", "MarianMTModel", _BART),
    "pegasus": ("PegasusConfig", "PegasusForConditionalGeneration", _BART),
    "m2m-100": ("M2M100Config", "M2M100ForConditionalGeneration", _BART),
    "blenderbot": ("BlenderbotConfig", "BlenderbotForConditionalGeneration", _BART),
}
_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 16,
}
_SPEECH = {name: value for name, value in _BART.items() if name != "max_position_embeddings"}
SPREAD = 0.3  # standard deviation of the weights
TEXT = tuple(_FAMILIES)


def _vision_encoder_decoder(decoder: Any) -> Any:
    encoder = transformers.ViTConfig(**_VIT)
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id = 1, 0
    return transformers.VisionEncoderDecoderModel(config)


def _gpt2_decoder() -> Any:
    options = _FAMILIES["gpt2"][2]
    return transformers.GPT2Config(**options, add_cross_attention=True, is_decoder=True)


def _llava() -> Any:
    text = transformers.LlamaConfig(**_GQA)
    vision = transformers.CLIPVisionConfig(**_VIT)
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN, vision_feature_layer=-1
    )
    return transformers.LlavaForConditionalGeneration(config)


def blip() -> Any:
    """As transformers has it, with a picture encoder wider than its decoder."""
    vision = _VIT | {"hidden_size": 48}
    text = _SMALL | {"encoder_hidden_size": 48, "sep_token_id": 2}
    config = transformers.BlipConfig(text_config=text, vision_config=vision)
    return spread(transformers.BlipForConditionalGeneration(config))


def _moonshine() -> Any:
    same = {f"{part}_num_{what}": n for part in ("encoder", "decoder") for what, n in _MOONSHINE_LAYERS.items()}
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    return transformers.MoonshineForConditionalGeneration(transformers.MoonshineConfig(**sizes, **same, **ids))


IMAGE_TOKEN = 98
_MOONSHINE_LAYERS = {"hidden_layers": 2, "attention_heads": 4}
_BERT_DECODER = _SMALL | {"add_cross_attention": True, "is_decoder": True}
_TROCR = {"vocab_size": VOCABULARY, "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4}
_MEDIA: dict[str, Callable[[], Any]] = {
    "vit-gpt2": lambda: _vision_encoder_decoder(_gpt2_decoder()),
    "vit-bert": lambda: _vision_encoder_decoder(transformers.BertConfig(**_BERT_DECODER)),
    # Counts its positions from behind the padding index.
    "vit-roberta": lambda: _vision_encoder_decoder(transformers.RobertaConfig(**_BERT_DECODER)),
    "trocr": lambda: _vision_encoder_decoder(transformers.TrOCRConfig(**_TROCR, decoder_ffn_dim=64)),
    "blip": lambda: as_encoder_decoder(blip(), start_token_id=1),
    # Puts its image in front of the text, in the cache but not in the mask.
    "git": lambda: transformers.GitForCausalLM(transformers.GitConfig(vision_config=dict(_VIT), **_SMALL)),
    "llava": _llava,
    "whisper": lambda: transformers.WhisperForConditionalGeneration(
        transformers.WhisperConfig(**_SPEECH, num_mel_bins=8, max_source_positions=50, max_target_positions=128)
    ),
    "speech-to-text": lambda: transformers.Speech2TextForConditionalGeneration(
        transformers.Speech2TextConfig(**_SPEECH, max_target_positions=128, input_feat_per_channel=8, conv_channels=16)
    ),
    "moonshine": _moonshine,
}
MEDIA = tuple(_MEDIA)


def family_config(family: str, vocabulary: int, **options: Any) -> Any:
    """The small configuration of a family in `TEXT`, with another vocabulary."""
    config_class, _, defaults = _FAMILIES[family]
    return getattr(transformers, config_class)(**(defaults | {"vocab_size": vocabulary} | options))


@cache
def generating_model(family: str) -> Any:
    """A small model of this family, in eval mode; the same one every time."""
    torch.manual_seed(0)  # some draw their biases, which `spread` leaves alone
    if family in _MEDIA:
        return spread(_MEDIA[family]())
    config_class, model_class, options = _FAMILIES[family]
    return spread(getattr(transformers, model_class)(getattr(transformers, config_class)(**options)))


def spread(model: Any) -> Any:
    """Draw the weights far apart and set the model to eval."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter.requires_grad:
                parameter.normal_(0, SPREAD)
    return model.eval()


def random_prompt(family: str, random: Random, longest: int = 24) -> Prompt:
    """A prompt for this family: a text of random ids, a picture or a recording of noise."""
    words = [random.randint(4, 90) for _ in range(random.randint(1, longest))]
    noise = torch.Generator().manual_seed(random.getrandbits(32))
    if family in ("git", "blip", "vit-gpt2", "vit-bert", "vit-roberta", "trocr"):
        return Prompt([1, *words[:3]], {"pixel_values": torch.randn(3, 32, 32, generator=noise)}, source_slots=5)
    if family == "llava":
        return Prompt([1, *[IMAGE_TOKEN] * 4, *words], {"pixel_values": torch.randn(3, 32, 32, generator=noise)})
    if family == "whisper":
        return Prompt([3, *words[:3]], {"input_features": torch.randn(8, 100, generator=noise)}, source_slots=50)
    if family in ("speech-to-text", "moonshine"):
        name, shape = ("input_features", (random.randint(20, 90), 8))
        if family == "moonshine":
            name, shape = ("input_values", (random.randint(3000, 9000),))
        mask = torch.ones(shape[0], dtype=torch.long)
        inputs = {name: torch.randn(*shape, generator=noise), "attention_mask": mask}
        start = generating_model(family).config.decoder_start_token_id
        return Prompt([start], inputs, source_slots=-(-shape[0] // (4 if family == "speech-to-text" else 300)))
    model = generating_model(family)
    if model.config.is_encoder_decoder:
        return Prompt([model.config.decoder_start_token_id], {"input_ids": torch.tensor(words)})
    return Prompt(words)


def alone(model: Any, sequence: GenerationSequence) -> list[int]:
    """What `model.generate` says to a job's prompt by itself."""
    prompt, params = sequence.prompt, sequence.params
    inputs = {name: value[None] for name, value in prompt.inputs.items()}
    ids = "decoder_input_ids" if model.config.is_encoder_decoder else "input_ids"
    inputs[ids] = torch.tensor([prompt.ids])
    options = {
        "max_new_tokens": params.max_new_tokens,
        "do_sample": False,
        "num_beams": 1,
        "eos_token_id": list(params.eos_token_ids) or None,
        "suppress_tokens": list(params.suppress_tokens) or None,
        "pad_token_id": 0,
    }
    with torch.inference_mode():
        # Whisper's own `generate` is about windows of sound; the tokens within one are this.
        output = transformers.GenerationMixin.generate(model, **inputs, **options)
    emitted: list[int] = output[0, len(prompt.ids) :].tolist()
    return emitted
