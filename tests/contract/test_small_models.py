"""Models that read few tokens, of one character each: every text task loads them, for its examples are sized to fit."""

from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from deployments.config import ModelConfig
from deployments.registry import KINDS
from deployments.replica.replica import Replica

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;:?!'"
SIZES = {"vocab_size": 75, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
DECODER = {"n_embd": 32, "n_layer": 2, "n_head": 4}
BOTH = {"d_model": 32, "decoder_start_token_id": 3} | {
    f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in
    (("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))
}  # fmt: skip


def tokenizer_of_characters(folder: Path, *, closes: bool) -> None:
    """Save a tokenizer with a token for each character; `closes`: it writes an end behind a text."""
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate((*names, *ALPHABET))}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    if closes:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    pad, unknown, start, end, mask = names
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        cls_token=start,
        sep_token=end,
        mask_token=mask,
        bos_token=start,
        eos_token=end,
    ).save_pretrained(folder)


def config_of(kind: Any, positions: int) -> Any:
    if kind.name == "text-generation":
        return transformers.GPT2Config(n_positions=positions, **DECODER, **SIZES)
    if kind.name == "text2text-generation":
        return transformers.BartConfig(max_position_embeddings=positions, **BOTH, **SIZES)
    return transformers.BertConfig(max_position_embeddings=positions, **ENCODER, **SIZES)


@pytest.mark.parametrize("positions", [256, 32])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.medium == "text"], ids=lambda kind: kind.name)
def test_a_model_of_characters_loads(tmp_path: Path, kind: Any, positions: int) -> None:
    tokenizer_of_characters(tmp_path, closes=kind.name != "text-generation")
    getattr(transformers, kind.auto_model).from_config(config_of(kind, positions)).save_pretrained(tmp_path)
    replica = Replica(ModelConfig(model=str(tmp_path), name="small", device="cpu"), kind)
    replica.load()  # runs the check at load and examples of several lengths
    assert replica.description.get("layout", "packed") == "packed"
    assert replica.description.get("generation", {"mode": "in-flight"})["mode"] == "in-flight"
    replica.stop()
