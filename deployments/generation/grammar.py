"""Texts that hold to a JSON schema or a regular expression: tokens that would break it are not chosen.

llguidance knows which tokens may come next. Each row has a matcher of its own, which reads the row's tokens as they are
written, so that a row in the running batch writes what it writes alone.
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

MOST_COMPILED = 32  # grammars that are kept, those used last
MOST_CHARACTERS = 1 << 16  # of a grammar
TOO_MUCH = "parameters.grammar: has more than 65,536 characters"


class Grammar(Body):
    """What a text must be, in the form of Hugging Face's TGI."""

    type: Literal["json", "json_object", "json_schema", "regex"] = Field(
        description="json, json_object: `value` is a JSON schema; json_schema: it has one as its `schema`."
    )
    value: dict[str, Any] | str | None = Field(
        default=None, description="A schema, also as text; any object without one. Of regex: the expression."
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
        """The JSON schema, an object or its text."""
        if self.value is None:
            return {"type": "object"}
        return self.value["schema"] if self.type == "json_schema" and isinstance(self.value, dict) else self.value


class GuidedParameters(GenerationParameters):
    """Options of tasks whose text is the model's own choice."""

    grammar: Grammar | None = Field(default=None, description="What the text must be: a JSON schema's, or a pattern's.")


class Grammars:
    """The grammars of one model.

    Args:
        tokenizer: of its text.
        vocabulary: tokens that its scores are for.
        ends: tokens that end its texts.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._ends = tuple(ends)
        self._read: LLTokenizer | None = None
        self._compiled: OrderedDict[bytes, LLMatcher] = OrderedDict()

    def guided(self, requests: Sequence[GenerationRequest], parameters: GuidedParameters) -> list[GenerationRequest]:
        """The same rows, held to the request's grammar if it has one. On the text thread.

        Raises:
            InvalidInput: no grammar that can be held to, or not by this model.
        """
        if parameters.grammar is None:
            return list(requests)
        if parameters.eos_token_id is not None or (parameters.num_beams or 1) > 1:
            raise InvalidInput("parameters.grammar: goes together with neither eos_token_id nor num_beams")
        matcher = self._matcher(parameters.grammar)
        return [
            replace(
                request,
                params=replace(request.params, eos_token_ids=self._ends),
                processor=Guide(matcher.deep_copy(), len(request.prompt.ids), self._vocabulary),
            )
            for request in requests
        ]

    def _matcher(self, grammar: Grammar) -> "LLMatcher":
        """At the grammar's beginning; to be copied."""
        key = orjson.dumps(grammar.model_dump())
        if len(key) > MOST_CHARACTERS:
            raise InvalidInput(TOO_MUCH)
        matcher = self._compiled.pop(key, None) or self._compile(grammar)
        self._compiled[key] = matcher
        if len(self._compiled) > MOST_COMPILED:
            self._compiled.popitem(last=False)
        return matcher

    def _compile(self, grammar: Grammar) -> "LLMatcher":
        from llguidance import LLMatcher

        try:
            if grammar.type == "regex":
                completion = LLMatcher.grammar_from_regex(str(grammar.value))
            else:
                # White space between the parts would let a model write nothing else until its tokens are used up.
                options: Any = {"whitespace_flexible": False}
                completion = LLMatcher.grammar_from_json_schema(grammar.schema_of_json, overrides=options)
        except ValueError as error:
            raise InvalidInput(f"parameters.grammar: {error}") from error
        matcher = LLMatcher(self._tokens(), completion, log_level=0)
        if matcher.is_error():
            raise InvalidInput(f"parameters.grammar: {_first_line(matcher.get_error())}")
        return matcher

    def _tokens(self) -> "LLTokenizer":
        """The vocabulary as llguidance reads it, which takes a second for a large one: only once somebody asks."""
        if self._read is None:
            from llguidance import hf

            if not self._ends:
                raise InvalidInput("parameters.grammar: this model has no token that ends a text")
            try:
                self._read = hf.from_tokenizer(self._tokenizer, self._vocabulary, list(self._ends))
            except ValueError as error:
                raise InvalidInput(f"parameters.grammar: not with this model's tokenizer ({error})") from error
        return self._read


class Guide:
    """A row's processor: lets only those tokens come that its grammar has next.

    Args:
        matcher: at the grammar's beginning; the row's own.
        before: tokens of the prompt.
        vocabulary: tokens that scores are for.
    """

    def __init__(self, matcher: "LLMatcher", before: int, vocabulary: int) -> None:
        self._matcher = matcher
        self._before = before
        self._vocabulary = vocabulary
        self._read = 0

    def __call__(self, ids: "Tensor", scores: "Tensor") -> "Tensor":
        import numpy as np
        import torch

        completion = ids[0, self._before :].tolist()
        if len(completion) < self._read:  # the row begins again, after the memory had run out
            self._matcher.reset()
            self._read = 0
        self._matcher.consume_tokens(completion[self._read :])
        self._read = len(completion)
        mask = self._matcher.compute_bitmask() if not self._matcher.is_error() else bytes(self._vocabulary // 8 + 1)
        bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=self._vocabulary, bitorder="little")
        forbidden = torch.from_numpy(bits == 0).to(scores.device)
        # A model may have more scores than its tokenizer has tokens.
        width = scores.shape[1]
        if width > len(forbidden):
            forbidden = torch.nn.functional.pad(forbidden, (0, width - len(forbidden)), value=True)
        return scores.masked_fill(forbidden[:width], float("-inf"))


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no grammar"])[0]
