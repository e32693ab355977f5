"""Every private name of transformers that audio and the speech tasks use, each behind one plain function.

An upgrade of transformers is a reading of this file; tests/deployments/audio/whisper/test_transformers_internals.py
checks that each name is still there.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from deployments.telemetry.logs import warn_unless_read_in

if TYPE_CHECKING:
    import torch

READ_IN = "5.23"  # the release whose source these names were read in

FRAME_COUNTERS = ("_get_feat_extract_output_lengths", "_get_subsampling_output_length")


warn_unless_read_in("transformers", READ_IN)


def language_codes() -> Mapping[str, str]:
    """Whisper's language codes by language name, such as "english" to "en".

    The tokenizer has no public method that maps a name to a code.
    """
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    codes: Mapping[str, str] = TO_LANGUAGE_CODE
    return codes


def language_names() -> Mapping[str, str]:
    """Whisper's language names by code, such as "en" to "english". The tokenizer has no public method for it."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    names: Mapping[str, str] = LANGUAGES
    return names


def merges_windows(tokenizer: Any) -> bool:
    """Whether a tokenizer can merge overlapping windows, as Whisper's does with its timestamp tokens.

    The public pipeline decides by the model's type; other tokenizers with the same tokens have this method as well.
    """
    return hasattr(tokenizer, "_decode_asr")


def collate_words(tokenizer: Any, tokens: Sequence[int], spans: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """Tokens to words, `[{"text", "timestamp"}]`, by the rules of Whisper's tokenizer.

    Publicly this happens only within the pipeline, which merges the windows as well.

    Args:
        tokenizer: Whisper's.
        tokens: text tokens, without special and timestamp tokens.
        spans: start and end of each token, in seconds.
    """
    from transformers.models.whisper.tokenization_whisper import _collate_word_timestamps

    words: list[dict[str, Any]] = _collate_word_timestamps(tokenizer, tokens, spans, None, False)
    return words


def token_end_times(
    model: Any,
    ids: "torch.Tensor",
    cross_attentions: "Sequence[torch.Tensor]",
    *,
    alignment_heads: Sequence[Any],
    seconds_per_position: float,
    frames: int,
    prompt_length: int,
) -> "torch.Tensor":
    """The second at which each token ends, by dynamic time warping of cross-attention; `[1, tokens]`.

    The public `generate(return_token_timestamps=True)` decodes once more and handles one call at a time.

    Args:
        model: Whisper.
        ids: decoder prompt and output, `[1, tokens]`.
        cross_attentions: for each decoder layer, `[1, heads, tokens, positions]`, float32.
        alignment_heads: pairs of layer and head.
        seconds_per_position: of the encoder's output.
        frames: feature frames that are not padding.
        prompt_length: tokens of the decoder prompt.
    """
    import torch
    from transformers.generation import GenerateEncoderDecoderOutput

    times: torch.Tensor = model._extract_token_timestamps(
        GenerateEncoderDecoderOutput(sequences=ids, cross_attentions=(tuple(cross_attentions),)),
        alignment_heads,
        time_precision=seconds_per_position,
        num_frames=torch.tensor([frames]),
        num_input_ids=prompt_length,
    )
    return times


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Within this context the model uses eager attention, the only implementation that returns its weights.

    The public `set_attn_implementation` can set an implementation, but none can be read back to restore it.
    """
    config = model.config
    before = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = before


def output_frames(module: Any, positions: int) -> int | None:
    """Frames that an encoder makes of this many input positions; None if it has no method for it.

    There is no public method; the convolutions' strides have a different name in each family's configuration.
    """
    import torch

    for name in FRAME_COUNTERS:
        if (count := getattr(module, name, None)) is not None:
            return int(count(torch.tensor(positions)))
    return None


def has_word_offsets(tokenizer: Any) -> bool:
    """Whether a CTC tokenizer can give the offsets of words and characters. There is no public flag for it."""
    return hasattr(tokenizer, "_get_word_offsets")


def word_offsets(tokenizer: Any, char_offsets: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Words and their offsets, in frames, from those of characters.

    The public `decode(output_word_offsets=True)` decodes the tokens a second time.
    """
    offsets: list[Mapping[str, Any]] = tokenizer._get_word_offsets(char_offsets, tokenizer.replace_word_delimiter_char)
    return offsets
