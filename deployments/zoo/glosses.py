"""`glosses`, a small GPT-2 that writes dictionary definitions: the files of its folder.

A text is `<|endoftext|>word: gloss<|endoftext|>`; the tokenizer adds the first token.
"""

from typing import Any

NAME = "glosses"
END = "<|endoftext|>"
"""Token 0, which starts and ends a text."""

VOCABULARY = 2048
POSITIONS = 256

CONFIG: dict[str, Any] = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "vocab_size": VOCABULARY,
    "n_positions": POSITIONS,
    "n_embd": 128,
    "n_layer": 4,
    "n_head": 4,
    "activation_function": "relu",
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "dtype": "float32",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "config.json": CONFIG,
    "generation_config.json": {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0},
    "tokenizer_config.json": {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END,
        "eos_token": END,
        "pad_token": END,
        "model_max_length": POSITIONS,
    },
}
TOKENIZER = f"{NAME}.tokenizer.json"
