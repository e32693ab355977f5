"""Source and target language of a text, in the way in which each model family wants to be told.

Nothing here knows a family by name: what a tokenizer can do, and what the configuration holds, says which way it is.
"""

import copy
from functools import cached_property
from typing import Any

from deployments.errors import InvalidInput


class Languages:
    """The languages of one model.

    Args:
        tokenizer: of the model; one that reads with a source language (mBART, NLLB, M2M100) is told at every text.
        config: of the model, perhaps with prefixes (T5's `task_specific_params`).
    """

    def __init__(self, tokenizer: Any, config: Any) -> None:
        self._tokenizer = tokenizer
        self._usual = getattr(tokenizer, "src_lang", None)
        self._prefixes = getattr(config, "task_specific_params", None) or {}

    def directed(self, text: str, defaults: Any, source: str | None, target: str | None) -> tuple[str, Any]:
        """The text to read and the `GenerationConfig` to write with.

        Raises:
            InvalidInput: a language that the model does not know, or none where it needs one.
        """
        if self._usual is not None:
            self._tokenizer.src_lang = self._usual if source is None else self._known("src_lang", source)
            if target is None:
                return text, defaults
            directed = copy.copy(defaults)
            directed.forced_bos_token_id = self._id(self._known("tgt_lang", target))
            return text, directed
        if target is None and source is None:
            return text, defaults
        return self._prefix(source, target) + text, defaults

    def _prefix(self, source: str | None, target: str | None) -> str:
        """What the model wants in front of the text: a sentence (T5), or a token of the language (Marian)."""
        task = self._prefixes.get(f"translation_{source}_to_{target}")
        if isinstance(task, dict) and task.get("prefix"):
            return str(task["prefix"])
        marker = f">>{target}<<"
        if target is not None and self._is_token(marker):
            return marker + " "
        if target is not None and self._has_markers:
            raise InvalidInput(f"parameters.tgt_lang: {target!r} is no language of this model")
        if any(name.startswith("translation_") for name in self._prefixes):
            raise InvalidInput(f"parameters: this model does not translate from {source!r} to {target!r}")
        raise InvalidInput("parameters: this model has no choice of languages; leave src_lang and tgt_lang out")

    def _known(self, name: str, language: str) -> str:
        if self._id(language) is None:
            raise InvalidInput(f"parameters.{name}: {language!r} is no language of this model")
        return language

    def _id(self, language: str) -> int | None:
        if hasattr(self._tokenizer, "get_lang_id") and language in getattr(self._tokenizer, "lang_code_to_id", ()):
            return int(self._tokenizer.get_lang_id(language))
        return int(self._tokenizer.convert_tokens_to_ids(language)) if language in self._codes else None

    def _is_token(self, text: str) -> bool:
        return self._tokenizer.convert_tokens_to_ids(text) not in (None, self._tokenizer.unk_token_id)

    @cached_property
    def _codes(self) -> set[str]:
        """The special tokens that have no other part, such as being the end: those of languages."""
        others = {token for token in self._tokenizer.special_tokens_map.values() if isinstance(token, str)}
        return set(self._tokenizer.all_special_tokens) - others

    @cached_property
    def _has_markers(self) -> bool:
        return any(token.startswith(">>") for token in self._tokenizer.get_vocab())
