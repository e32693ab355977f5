"""Opening: the tokens that a decoder is given before a window of speech, from `generation_config` as `generate` does.

A model that knows languages is told one. Where nobody has said which it is, the model's own likeliest is taken: the
row's first token may be a language only, and what follows it is forced, so that it costs no call of its own and rows of
known and unknown language run together.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deployments.errors import InvalidInput
from deployments.generation.in_flight.families import LIMITS
from deployments.generation.request import GenerationRequest
from deployments.generation.sampling.row import RowProcessor
from deployments.generation.sequence import Prompt

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class DecoderPrompt:
    """What stands before the text of a window.

    Attributes:
        before: tokens before the language, or all of them where it is known, or there is none.
        languages: tokens of which the model chooses one; empty where it has no choice.
        behind: tokens behind that one.
    """

    before: tuple[int, ...]
    languages: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Tokens before the text."""
        return len(self.before) + len(self.after) + (1 if self.languages else 0)

    @property
    def written(self) -> int:
        """Those of them that the model writes itself, or is forced to."""
        return self.length - len(self.before)

    def knowing(self, language: int) -> "DecoderPrompt":
        """The same with this language."""
        return DecoderPrompt((*self.before, language, *self.after)) if self.languages else self

    def filled(self) -> list[int]:
        """All of its tokens, with any language."""
        return [*self.before, *self.languages[:1], *self.after]

    def open(self, generation_request: GenerationRequest, prompt: Prompt) -> GenerationRequest:
        """The row that writes `generation_request` behind this opening.

        Args:
            ask: as for a prompt of `filled()` tokens.
            prompt: of `before` alone.
        """
        if not self.languages:
            return replace(generation_request, prompt=prompt)
        params = generation_request.params
        return replace(
            generation_request,
            prompt=prompt,
            params=replace(
                params,
                max_new_tokens=params.max_new_tokens + self.written,
                min_new_tokens=params.min_new_tokens + self.written if params.min_new_tokens else 0,
                suppress_tokens=(),  # of the text, not of the opening: `LanguageDetection` sees to them
                begin_suppress_tokens=(),
            ),
            processor=LanguageDetection(
                self, params.suppress_tokens, params.begin_suppress_tokens, generation_request.processor
            ),
        )


class LanguageDetection:
    """A row's processor that lets it begin with a language, the likeliest, and with what its opening has behind it.

    Args:
        opening: with languages.
        suppressed: tokens that never come in the text.
        suppressed_first: tokens that do not come first in it.
        text: processor of the text, if it has one.
    """

    def __init__(
        self,
        decoder_prompt: DecoderPrompt,
        suppressed: Sequence[int],
        suppressed_first: Sequence[int],
        text: RowProcessor | None,
    ) -> None:
        self._decoder_prompt, self._text = decoder_prompt, text
        self._suppressed, self._suppressed_first = list(suppressed), list(suppressed_first)

    def __call__(self, ids: "Tensor", scores: "Tensor") -> "Tensor":
        decoder_prompt, place = self._decoder_prompt, ids.shape[1] - len(self._decoder_prompt.before)
        if place < decoder_prompt.written:
            languages = list(decoder_prompt.languages)
            token = languages[int(scores[0, languages].argmax())] if place == 0 else decoder_prompt.after[place - 1]
            forced = scores.new_full(scores.shape, float("-inf"))
            forced[0, token] = 0
            return forced
        scores = scores.clone()
        scores[:, self._suppressed] = float("-inf")
        if place == decoder_prompt.written:
            scores[:, self._suppressed_first] = float("-inf")
        return scores if self._text is None else self._text(ids, scores)


class DecoderPrompts:
    """The openings that one model knows.

    Args:
        defaults: its `GenerationConfig`.
        config: its configuration; old ones hold the opening themselves.
    """

    def __init__(self, defaults: Any, config: Any) -> None:
        self._defaults, self._config = defaults, config
        self._languages: dict[str, int] = getattr(defaults, "lang_to_id", None) or {}
        self._tasks: dict[str, int] = getattr(defaults, "task_to_id", None) or {}
        self._silent: int | None = getattr(defaults, "no_timestamps_token_id", None)  # no times, please

    def decoder_prompt(self, language: str | None, task: str | None, *, times: bool) -> DecoderPrompt:
        """The opening for these wishes; what is not wished for is the checkpoint's own.

        Raises:
            InvalidInput: a language or task that the model does not know.
        """
        self._require_choice(language, task)
        language = language or getattr(self._defaults, "language", None)
        task = task or getattr(self._defaults, "task", None)
        ids: list[int | None] = [self._defaults.decoder_start_token_id]
        if language is None and task is None:
            ids += self._forced()
        detects = False
        if language is not None:
            ids[1:2] = [self._language(language)]
        elif self._languages and (len(ids) == 1 or ids[1] is None):
            ids[1:2], detects = [None], True
        if task is not None:
            ids.append(self._task(task))
        elif language is not None and self._tasks and not set(self._tasks.values()) & set(ids):
            ids.append(self._tasks["transcribe"])
        if self._silent is not None and (ids[-1] == self._silent) == times:
            ids = ids[:-1] if times else [*ids, self._silent]
        known = tuple(token for token in ids if token is not None)
        if not detects:
            return DecoderPrompt(known)
        return DecoderPrompt(known[:1], tuple(self._languages.values()), known[1:])

    def _require_choice(self, language: str | None, task: str | None) -> None:
        if language is not None and not self._languages:
            raise InvalidInput("parameters.language: this model has no choice of languages; leave it out")
        if task is not None and not self._tasks:
            raise InvalidInput("parameters.task: this model has no choice of tasks; leave it out")
        only_one = getattr(self._defaults, "is_multilingual", True) is False
        if only_one and (language is not None or task is not None):
            raise InvalidInput("parameters: this model knows one language; leave language and task out")

    def _forced(self) -> list[int | None]:
        """What old checkpoints say at which place, from the second on; None for a language to be found."""
        places = getattr(self._defaults, "forced_decoder_ids", None)
        places = places if places is not None else getattr(self._config, "forced_decoder_ids", None)
        return [token for index, (place, token) in enumerate(places or ()) if place == index + 1]

    def _language(self, language: str) -> int:
        """The token of a language: by its name, its code, or as the model writes it."""
        from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

        name = language.lower()
        for token in (name, f"<|{TO_LANGUAGE_CODE.get(name, name)}|>"):
            if token in self._languages:
                return self._languages[token]
        known = ", ".join(sorted(token.strip("<|>") for token in self._languages))
        raise InvalidInput(f"parameters.language: {language!r} is no language of this model; it knows {known}")

    def _task(self, task: str) -> int:
        if task not in self._tasks:
            raise InvalidInput(
                f"parameters.task: {task!r} is not known to this model; it knows {', '.join(self._tasks)}"
            )
        return self._tasks[task]


USUAL_NEW_TOKENS = 256  # the default of transformers' pipeline for speech


def with_max_new_tokens(defaults: Any, config: Any, decoder_prompt: int) -> Any:
    """The `GenerationConfig` with a most of new tokens, behind so many of the decoder's opening.

    As Whisper's `generate` has it, `max_length` does not count the opening, but the model's own positions do.
    """
    if defaults.max_new_tokens is not None:
        return defaults
    decoder = config.get_text_config(decoder=True)
    limit = next((getattr(decoder, name) for name in LIMITS if getattr(decoder, name, None)), None)
    most = defaults.max_length if defaults.max_length is not None else USUAL_NEW_TOKENS
    defaults = copy.copy(defaults)
    defaults.max_new_tokens = most if limit is None else max(1, min(most, limit - decoder_prompt))
    return defaults
