"""Fast tokenizers for checkpoints that have slow ones alone, where transformers has no conversion of its own.

A fast tokenizer has offsets, which tasks need, and takes a tenth of the time.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

_SAMPLES = ("MKTAYIAKQR QISFVK", "MK<mask>LVx1é J", " a  <pad>\n<cls>GSh<eos>", "MKT")


def as_fast(tokenizer: Any) -> Any:
    """A fast tokenizer with the same ids; the tokenizer itself if it is fast or has no conversion."""
    convert = _CONVERSIONS.get(type(tokenizer).__name__)
    if convert is None or tokenizer.is_fast:
        return tokenizer
    fast = convert(tokenizer)
    same = all(fast(text)["input_ids"] == tokenizer(text)["input_ids"] for text in _SAMPLES)
    return fast if same else tokenizer


def _esm(tokenizer: Any) -> Any:
    """ESM's: each token of the vocabulary is found wherever it stands; what is between two is unknown as a whole."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary: dict[str, int] = tokenizer.get_vocab()
    longest_first = sorted(vocabulary, key=len, reverse=True)
    tokens = Regex("|".join(map(re.escape, longest_first)))
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=tokenizer.unk_token))
    split = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(tokens, "isolated")]
    backend.pre_tokenizer = pre_tokenizers.Sequence(split)
    start, end = tokenizer.cls_token, tokenizer.eos_token
    backend.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B {end}",
        special_tokens=[(token, vocabulary[token]) for token in (start, end)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        **tokenizer.special_tokens_map,
    )


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {"EsmTokenizer": _esm}
