"""The decoder prompt of a window of speech, built from `generation_config` as Whisper's `generate` does.

The prompt of a multilingual model names the language. If the request does not, the model detects it while decoding: the
first token is restricted to languages, and the tokens after it are forced. Detection thus needs no extra forward, and
sequences of known and unknown language share a batch. Where the figures of a pass are recorded, all tokens of the
prompt but the first are forced, since the scores behind the first say whether the model hears speech.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deployments.audio.whisper.figures import FiguresRecorder
from deployments.audio.whisper.transformers_internals import language_codes, language_names
from deployments.errors import InvalidInput
from deployments.generation.in_flight.families import LIMITS
from deployments.generation.request import GenerationRequest
from deployments.generation.sampling.row import RowProcessor
from deployments.generation.sequence import Prompt

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_NEW_TOKENS = 256  # as in transformers' pipeline for speech
ONLY_LANGUAGE = "en"  # of Whisper's models that know a single one


@dataclass(frozen=True, slots=True)
class DecoderPrompt:
    """The tokens before the text of a window.

    Attributes:
        before: tokens before the language token; all tokens if no language is to be detected.
        languages: language tokens to choose from; empty if no language is to be detected.
        after: tokens after the language token; all tokens after `before` if no language is to be detected.
        previous: tokens before all others: text that comes before the window's, after a token that says so.
    """

    before: tuple[int, ...]
    languages: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    previous: tuple[int, ...] = ()

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The tokens that are not generated."""
        return (*self.previous, *self.before)

    @property
    def length(self) -> int:
        """Number of tokens."""
        return len(self.prompt_ids) + self.generated

    @property
    def generated(self) -> int:
        """Number of tokens that are generated: the detected language and the forced tokens after it."""
        return len(self.after) + (1 if self.languages else 0)

    def with_language(self, language: int) -> "DecoderPrompt":
        """The same prompt with this language."""
        if not self.languages:
            return self
        return DecoderPrompt((*self.before, language, *self.after), previous=self.previous)

    def from_start(self) -> "DecoderPrompt":
        """The same prompt, of which all tokens behind the first are generated.

        The model's scores after the first token say whether it hears speech.
        """
        if self.generated:
            return self
        return replace(self, before=self.before[:1], after=self.before[1:])

    def placeholder_ids(self) -> list[int]:
        """All tokens, with an arbitrary language."""
        return [*self.prompt_ids, *self.languages[:1], *self.after]

    def apply(
        self,
        generation_request: GenerationRequest,
        prompt: Prompt,
        recorder: FiguresRecorder | None = None,
    ) -> GenerationRequest:
        """Put this decoder prompt in front of a request.

        Args:
            generation_request: made for the prompt `placeholder_ids()`.
            prompt: the prompt with the tokens `prompt_ids`.
            recorder: of the figures of the pass, if they are recorded.
        """
        if not self.generated and recorder is None:
            return replace(generation_request, prompt=prompt)
        params = generation_request.params
        processor: RowProcessor = PromptedDecoding(
            self, params.suppress_tokens, params.begin_suppress_tokens, generation_request.processor
        )
        return replace(
            generation_request,
            prompt=prompt,
            params=replace(
                params,
                max_new_tokens=params.max_new_tokens + self.generated,
                min_new_tokens=params.min_new_tokens + self.generated if params.min_new_tokens else 0,
                suppress_tokens=(),  # apply to the text only; `PromptedDecoding` does that
                begin_suppress_tokens=(),
            ),
            processor=processor if recorder is None else recorder.around(processor),
        )


class PromptedDecoding:
    """A logits processor that forces the likeliest language, if one is to be detected, and the rest of the prompt.

    Args:
        decoder_prompt: the prompt, of which tokens may be left to generate.
        suppressed: tokens that the text must not contain.
        suppressed_first: tokens that the text must not start with.
        text: logits processor of the text, if any.
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
        decoder_prompt, position = self._decoder_prompt, ids.shape[1] - len(self._decoder_prompt.prompt_ids)
        if position < decoder_prompt.generated:
            return only(scores, self._next(scores, position))
        scores = scores.clone()
        scores[:, self._suppressed] = float("-inf")
        if position == decoder_prompt.generated:
            scores[:, self._suppressed_first] = float("-inf")
        return scores if self._text is None else self._text(ids, scores)

    def _next(self, scores: "Tensor", position: int) -> int:
        """The token of the decoder prompt at a position, counted from the first that is generated."""
        languages, after = list(self._decoder_prompt.languages), self._decoder_prompt.after
        if not languages:
            return after[position]
        return languages[int(scores[0, languages].argmax())] if position == 0 else after[position - 1]


def only(scores: "Tensor", token: int) -> "Tensor":
    """Scores of the same shape that leave a single token."""
    forced = scores.new_full(scores.shape, float("-inf"))
    forced[:, token] = 0
    return forced


class DecoderPrompts:
    """Builds the decoder prompts of one model.

    Args:
        defaults: its `GenerationConfig`.
        config: its configuration, which holds `forced_decoder_ids` in old checkpoints.
    """

    def __init__(self, defaults: Any, config: Any) -> None:
        self._defaults, self._config = defaults, config
        self._languages: dict[str, int] = getattr(defaults, "lang_to_id", None) or {}
        self._tasks: dict[str, int] = getattr(defaults, "task_to_id", None) or {}
        self._no_timestamps: int | None = getattr(defaults, "no_timestamps_token_id", None)

    def decoder_prompt(self, language: str | None, task: str | None, *, times: bool) -> DecoderPrompt:
        """The prompt for a language and a task; None means the checkpoint's default.

        Raises:
            InvalidInput: the model does not know the language or the task.
        """
        if language is not None and self._is_the_only(language):
            language = None
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
        if self._no_timestamps is not None and (ids[-1] == self._no_timestamps) == times:
            ids = ids[:-1] if times else [*ids, self._no_timestamps]
        known = tuple(token for token in ids if token is not None)
        if not detects:
            return DecoderPrompt(known)
        return DecoderPrompt(known[:1], tuple(self._languages.values()), known[1:])

    def _require_choice(self, language: str | None, task: str | None) -> None:
        if language is not None and not self._languages:
            raise InvalidInput("parameters.language: this model does not support a choice of language; omit it")
        if task is not None and not self._tasks:
            raise InvalidInput("parameters.task: this model does not support a choice of task; omit it")
        only_one = getattr(self._defaults, "is_multilingual", True) is False
        if only_one and (language is not None or task is not None):
            raise InvalidInput("parameters: this model knows a single language; omit language and task")

    def _is_the_only(self, language: str) -> bool:
        """Whether the model knows a single language, this one. Whisper's models of one language know English."""
        is_multilingual = getattr(self._defaults, "is_multilingual", bool(self._languages))
        return not is_multilingual and _code(language) == ONLY_LANGUAGE

    def is_language(self, token: int) -> bool:
        """Whether a token names a language."""
        return token in self._languages.values()

    def language_of(self, token: int | None) -> str | None:
        """The name of a language, such as "english", given its token; None means that the model knows a single one."""
        if not self._languages:
            return language_names()[ONLY_LANGUAGE]
        code = next((name.strip("<|>") for name, known in self._languages.items() if known == token), None)
        return None if code is None else language_names().get(code, code)

    def _forced(self) -> list[int | None]:
        """Tokens from the second on, in old checkpoints; None stands for a language to detect."""
        forced = getattr(self._defaults, "forced_decoder_ids", None)
        forced = forced if forced is not None else getattr(self._config, "forced_decoder_ids", None)
        return [token for index, (position, token) in enumerate(forced or ()) if position == index + 1]

    def _language(self, language: str) -> int:
        """The token of a language, given its name, its code or the token itself."""
        token = f"<|{_code(language)}|>"
        if token in self._languages:
            return self._languages[token]
        known = ", ".join(sorted(token.strip("<|>") for token in self._languages))
        raise InvalidInput(f"parameters.language: this model does not know the language {language!r}; it knows {known}")

    def _task(self, task: str) -> int:
        if task not in self._tasks:
            raise InvalidInput(
                f"parameters.task: this model does not know the task {task!r}; it knows {', '.join(self._tasks)}"
            )
        return self._tasks[task]


def _code(language: str) -> str:
    """The code of a language: of `German`, `de`, `DE`, `de-AT`, `de_DE` and `<|de|>` it is `de`."""
    name = language.strip().lower().strip("<|>")
    if name in language_codes():
        return language_codes()[name]
    return name.replace("_", "-").split("-")[0]


def with_max_new_tokens(defaults: Any, config: Any, prompt_length: int) -> Any:
    """The `GenerationConfig` with `max_new_tokens` set, for a decoder prompt of this length.

    As in Whisper's `generate`, `max_length` does not count the prompt, but the model's positions do.
    """
    if defaults.max_new_tokens is not None:
        return defaults
    decoder = config.get_text_config(decoder=True)
    limit = next((getattr(decoder, name) for name in LIMITS if getattr(decoder, name, None)), None)
    max_length = defaults.max_length if defaults.max_length is not None else DEFAULT_NEW_TOKENS
    defaults = copy.copy(defaults)
    defaults.max_new_tokens = max_length if limit is None else max(1, min(max_length, limit - prompt_length))
    return defaults
