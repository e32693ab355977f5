"""A Llama and a T5 of the same size, with random weights, a tokenizer of 8k words, and no end-of-sequence token."""

from pathlib import Path
from typing import Any

from loadtests.bench.generation.requests import PAD, UNKNOWN, VOCABULARY, word

LAYERS, HIDDEN, HEADS, INTERMEDIATE = 6, 384, 6, 1024
POSITIONS = 1024
SPREAD = 0.05  # of the weights: large enough that the models do not repeat one token
FAMILIES = ("llama", "t5")


def build(family: str, folder: Path) -> Path:
    """Save a model of one of `FAMILIES` to a folder."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    model = _llama() if family == "llama" else _t5()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, SPREAD)
        model.lm_head.weight[[PAD, UNKNOWN]] = 0  # never the most likely: they have no text in a stream
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def _llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INTERMEDIATE,
        max_position_embeddings=POSITIONS,
        pad_token_id=PAD,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config)


def _t5() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=HIDDEN,
        d_kv=HIDDEN // HEADS,
        d_ff=INTERMEDIATE,
        num_layers=LAYERS,
        num_heads=HEADS,
        n_positions=POSITIONS,
        tie_word_embeddings=False,
        pad_token_id=PAD,
        decoder_start_token_id=PAD,
        eos_token_id=None,
    )
    return T5ForConditionalGeneration(config)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": PAD, "<unk>": UNKNOWN} | {word(token): token for token in range(UNKNOWN + 1, VOCABULARY)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=POSITIONS
    )
