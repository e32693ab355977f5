"""Structured output: text that matches a JSON schema or a regular expression, by masking all other tokens.

llguidance computes which tokens may come next. Each row has its own matcher, which consumes the row's tokens as they
are sampled, so a row generates the same text in a batch as alone.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import orjson
from pydantic import Field, model_validator

from deployments.contract.task import Body
from deployments.errors import InvalidInput
from deployments.generation.parameters import GenerationParameters
from deployments.generation.request import GenerationRequest

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from torch import Tensor

MAX_COMPILED = 32  # grammars in the cache, least recently used out first
MAX_CHARACTERS = 1 << 16  # of a grammar
# Options of a request that say otherwise where the text ends or what it may contain, with the values that say nothing.
_CONTRADICTING: dict[str, tuple[int | None, ...]] = {
    "eos_token_id": (None,),
    "num_beams": (None, 1),
    "min_new_tokens": (None, 0),
    "min_length": (None, 0),
    "no_repeat_ngram_size": (None, 0),
}


class Grammar(Body):
    """What the text must match, in the form of Hugging Face's TGI."""

    type: Literal["json", "json_object", "json_schema", "regex"] = Field(
        description="json, json_object: `value` is a JSON schema; json_schema: `value.schema` is; regex: an expression."
    )
    value: dict[str, Any] | str | None = Field(
        default=None, description="The schema, also as text (any JSON object if omitted), or the regular expression."
    )

    @model_validator(mode="after")
    def _of_its_type(self) -> "Grammar":
        if self.type == "regex" and not isinstance(self.value, str):
            raise ValueError("value should be the regular expression, a string")
        if self.type == "json_schema" and not (isinstance(self.value, dict) and "schema" in self.value):
            raise ValueError("value should be an object with a `schema`")
        return self

    @property
    def schema_of_json(self) -> Any:
        """The JSON schema, as an object or as text."""
        if self.value is None:
            return {"type": "object"}
        return self.value["schema"] if self.type == "json_schema" and isinstance(self.value, dict) else self.value


class GuidedParameters(GenerationParameters):
    """Options of tasks that can constrain the text."""

    grammar: Grammar | None = Field(
        default=None, description="What the text must match: a JSON schema or a regular expression."
    )


class Grammars:
    """Compiles and caches the grammars of one model.

    Args:
        tokenizer: of its text.
        vocabulary: number of tokens that the model has logits for.
        ends: tokens that end its text.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._ends = tuple(ends)
        self._llguidance_tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[bytes, LLMatcher] = OrderedDict()

    def guided(self, requests: Sequence[GenerationRequest], parameters: GuidedParameters) -> list[GenerationRequest]:
        """The same rows, constrained by the grammar of the parameters, if there is one. On the text thread.

        A grammar knows where the text may end. What the checkpoint sets against that (beams, a minimum length, a forced
        end, n-grams that may not occur twice) is left out; its forced first token comes before the text.

        Raises:
            InvalidInput: the grammar does not compile, or this model or these options do not support one.
        """
        if parameters.grammar is None:
            return list(requests)
        if contradicting := [name for name, off in _CONTRADICTING.items() if getattr(parameters, name) not in off]:
            raise InvalidInput(f"parameters.grammar: cannot be combined with {', '.join(contradicting)}; leave it out")
        matcher = self._matcher(parameters.grammar)
        return [self._guided(request, matcher.deep_copy()) for request in requests]

    def _guided(self, request: GenerationRequest, matcher: "LLMatcher") -> GenerationRequest:
        params = replace(
            request.params,
            eos_token_ids=self._ends,
            min_new_tokens=0,
            no_repeat_ngram_size=0,
            forced_eos_token_id=(),
        )
        length = len(request.prompt.ids)
        start = 2 if length == 1 and params.forced_bos_token_id is not None else length
        processor = GrammarProcessor(matcher, start, self._vocabulary)
        return replace(request, params=params, processor=processor, num_beams=1)

    def _matcher(self, grammar: Grammar) -> "LLMatcher":
        """In its initial state; copy before use."""
        key = orjson.dumps(grammar.model_dump())
        if len(key) > MAX_CHARACTERS:
            raise InvalidInput(f"parameters.grammar: longer than {MAX_CHARACTERS:,} characters")
        matcher = self._compiled.pop(key, None) or self._compile(grammar)
        self._compiled[key] = matcher
        if len(self._compiled) > MAX_COMPILED:
            self._compiled.popitem(last=False)
        return matcher

    def _compile(self, grammar: Grammar) -> "LLMatcher":
        from llguidance import LLMatcher

        try:
            if grammar.type == "regex":
                source = LLMatcher.grammar_from_regex(str(grammar.value))
            else:
                # If white space were free, a model could generate nothing else until max_new_tokens.
                options: Any = {"whitespace_flexible": False}
                source = LLMatcher.grammar_from_json_schema(grammar.schema_of_json, overrides=options)
        except ValueError as error:
            raise InvalidInput(f"parameters.grammar: {error}") from error
        matcher = LLMatcher(self._tokens(), source, log_level=0)
        if matcher.is_error():
            raise InvalidInput(f"parameters.grammar: {_first_line(matcher.get_error())}")
        return matcher

    def _tokens(self) -> "LLTokenizer":
        """The vocabulary in llguidance's form, built on first use: a large one takes a second."""
        if self._llguidance_tokenizer is None:
            from llguidance import hf

            if not self._ends:
                raise InvalidInput("parameters.grammar: this model has no end-of-sequence token")
            try:
                self._llguidance_tokenizer = hf.from_tokenizer(self._tokenizer, self._vocabulary, list(self._ends))
            except ValueError as error:
                raise InvalidInput(f"parameters.grammar: not supported by this model's tokenizer ({error})") from error
        return self._llguidance_tokenizer


class GrammarProcessor:
    """A row's logits processor: masks every token that the grammar does not allow next.

    Args:
        matcher: in its initial state; used by this row alone.
        start: tokens before the text: the prompt, and a forced first token.
        vocabulary: number of tokens that the model has logits for.
    """

    def __init__(self, matcher: "LLMatcher", start: int, vocabulary: int) -> None:
        self._matcher = matcher
        self._start = start
        self._vocabulary = vocabulary
        self._consumed = 0

    def __call__(self, ids: "Tensor", scores: "Tensor") -> "Tensor":
        import numpy as np
        import torch

        if ids.shape[1] < self._start:
            return scores
        generated = ids[0, self._start :].tolist()
        if len(generated) < self._consumed:  # the row was preempted and begins again
            self._matcher.reset()
            self._consumed = 0
        self._matcher.consume_tokens(generated[self._consumed :])
        self._consumed = len(generated)
        mask = self._matcher.compute_bitmask() if not self._matcher.is_error() else bytes(self._vocabulary // 8 + 1)
        bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=self._vocabulary, bitorder="little")
        forbidden = torch.from_numpy(bits == 0).to(scores.device)
        # A model may have more logits than its tokenizer has tokens.
        width = scores.shape[1]
        if width > len(forbidden):
            forbidden = torch.nn.functional.pad(forbidden, (0, width - len(forbidden)), value=True)
        return scores.masked_fill(forbidden[:width], float("-inf"))


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["invalid"])[0]
