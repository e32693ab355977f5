"""What differs between encoder-decoders: the start token, models made of two parts, the names of languages."""

import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

from deployments.errors import InvalidInput
from deployments.generation.sampling.params import unsupported_options

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig


def decoder_start(model: "torch.nn.Module") -> tuple[int, ...] | None:
    """The token that `generate` starts a decoder with; None if the checkpoint names none."""
    holders: list[Any] = [model.generation_config, model.config, getattr(model.config, "decoder", None)]
    for name in ("decoder_start_token_id", "bos_token_id"):
        for holder in holders:
            token = getattr(holder, name, None)
            if isinstance(token, int):
                return (token,)
    return None


def as_encoder_decoder(model: "torch.nn.Module", start_token_id: int | None) -> "torch.nn.Module":
    """The model itself, or its image encoder and its text decoder as one `VisionEncoderDecoderModel`.

    BLIP's own forward takes no cache; its `generate` calls the two parts one after the other, as
    `VisionEncoderDecoderModel` does, whose forward takes one.

    Args:
        model: in eval mode; its decoder's configuration is changed to cross-attend to the encoder.
        start_token_id: the decoder's first token.
    """
    if not _has_parts(model):
        return model
    parts: Any = model
    from transformers import VisionEncoderDecoderModel

    parts.text_decoder.config.is_decoder = True
    parts.text_decoder.config.cross_attention_hidden_size = parts.vision_model.config.hidden_size
    whole: Any = VisionEncoderDecoderModel(encoder=parts.vision_model, decoder=parts.text_decoder)
    whole.config.decoder_start_token_id = start_token_id
    whole.config.pad_token_id = parts.text_decoder.config.pad_token_id
    whole.eval()
    return whole  # type: ignore[no-any-return]


def generation_config_of(model: Any) -> "GenerationConfig":
    """The options that `generate` uses: BLIP's takes its decoder's, not the model's, and ends at the separator."""
    if not _has_parts(model):
        return model.generation_config
    defaults: GenerationConfig = copy.copy(model.text_decoder.generation_config)
    defaults.eos_token_id = model.config.text_config.sep_token_id
    return defaults


def _has_parts(model: "torch.nn.Module") -> bool:
    return hasattr(model, "vision_model") and hasattr(model, "text_decoder")


class TaskSpecificParams:
    """What a checkpoint that was trained for several tasks has for each: T5's prefixes, and options of `generate`.

    The entries apply as in the pipelines of transformers 4.

    Args:
        config: of the model; the entries are its `task_specific_params`.
    """

    def __init__(self, config: Any) -> None:
        entries = getattr(config, "task_specific_params", None) or {}
        self.entries = {name: entry for name, entry in entries.items() if isinstance(entry, dict)}

    def apply(self, name: str, text: str, defaults: Any) -> tuple[str, Any]:
        """The text with the task's prefix, and the `GenerationConfig` with its options; a task without entry has none.

        Raises:
            InvalidInput: the entry has an option that is not supported.
        """
        entry = self.entries.get(name, {})
        options = {option: value for option, value in entry.items() if option != "prefix"}
        if options:
            defaults = copy.deepcopy(defaults)
            defaults.update(**options)
            if unknown := [option for option in unsupported_options(defaults) if option != "num_beams"]:
                raise InvalidInput(f"parameters.task: the checkpoint's options for {name!r} have {', '.join(unknown)}")
        return (entry.get("prefix") or "") + text, defaults


class TranslationLanguages:
    """The languages that one model translates between.

    Args:
        tokenizer: of the model; `src_lang` of one that has it (mBART, NLLB, M2M100) is set for every text.
        tasks: of the checkpoint; T5 has one for each pair of languages, `translation_en_to_de`.
    """

    def __init__(self, tokenizer: Any, tasks: TaskSpecificParams) -> None:
        self._tokenizer = tokenizer
        self._default_source = getattr(tokenizer, "src_lang", None)
        self._tasks = tasks

    def prepare(self, text: str, defaults: Any, source: str | None, target: str | None) -> tuple[str, Any]:
        """The text to tokenize and the `GenerationConfig` to generate with.

        Raises:
            InvalidInput: a language that the model does not have, or none where it needs one.
        """
        if self._default_source is not None:
            self._tokenizer.src_lang = self._default_source if source is None else self._known("src_lang", source)
            if target is None:
                return text, defaults
            config = copy.copy(defaults)
            config.forced_bos_token_id = self._id(self._known("tgt_lang", target))
            return text, config
        if target is None and source is None:
            return text, defaults
        task = f"translation_{source}_to_{target}"
        if self._tasks.entries.get(task, {}).get("prefix"):
            return self._tasks.apply(task, text, defaults)
        return self._marker(source, target) + text, defaults

    def _marker(self, source: str | None, target: str | None) -> str:
        """The language token that the model (Marian) was trained to see before the text."""
        marker = f">>{target}<<"
        if target is not None and self._is_token(marker):
            return marker + " "
        if target is not None and self._has_markers:
            raise InvalidInput(f"parameters.tgt_lang: this model does not have the language {target!r}")
        if any(name.startswith("translation_") for name in self._tasks.entries):
            raise InvalidInput(f"parameters: this model does not translate from {source!r} to {target!r}")
        raise InvalidInput("parameters: this model has no choice of languages; omit src_lang and tgt_lang")

    def _known(self, name: str, language: str) -> str:
        if self._id(language) is None:
            raise InvalidInput(f"parameters.{name}: this model does not have the language {language!r}")
        return language

    def _id(self, language: str) -> int | None:
        if hasattr(self._tokenizer, "get_lang_id") and language in getattr(self._tokenizer, "lang_code_to_id", ()):
            return int(self._tokenizer.get_lang_id(language))
        return int(self._tokenizer.convert_tokens_to_ids(language)) if language in self._codes else None

    def _is_token(self, text: str) -> bool:
        return self._tokenizer.convert_tokens_to_ids(text) not in (None, self._tokenizer.unk_token_id)

    @cached_property
    def _codes(self) -> set[str]:
        """The language tokens: special tokens without another role, such as end of sequence."""
        others = {token for token in self._tokenizer.special_tokens_map.values() if isinstance(token, str)}
        return set(self._tokenizer.all_special_tokens) - others

    @cached_property
    def _has_markers(self) -> bool:
        return any(token.startswith(">>") for token in self._tokenizer.get_vocab())
