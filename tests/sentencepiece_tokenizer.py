"""A small tokenizer of sentencepiece's kind."""

from typing import Any

from tests.checkpoints import SENTENCES


def metaspace() -> Any:
    """As sentencepiece's: a space begins the next token, and a letter that is not known falls into its bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = sorted({letter for sentence in SENTENCES[:9] for letter in sentence if letter != " "})
    vocabulary = {token: index for index, token in enumerate([*tokens, "▁", *letters, "▁t", "he", "▁the", "▁▁"])}
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("▁", "▁")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
