"""Tokens, details and stream events of a generating task, in the form of Hugging Face's TGI."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, Field

from deployments.generation.request import Completion, GenerationRequest, StreamedToken
from deployments.generation.special_tokens import special_tokens
from deployments.generation.token_bytes import TokenBytes

FINISH = {"eos": "eos_token", "stop": "stop_sequence", "length": "length"}


class Token(BaseModel):
    """A token of the text."""

    id: int
    text: str
    logprob: float | None = Field(description="Natural logarithm, before any option is applied; null if unknown.")
    special: bool
    bytes: list[int] | None = Field(
        default=None, description="With `token_bytes`: in UTF-8, of a token that is part of a character its own."
    )


class Timings(BaseModel):
    """Seconds since the input entered the model."""

    first_token_s: float
    total_s: float


class BestOfSequence(BaseModel):
    """One of several texts."""

    generated_text: str
    finish_reason: Literal["length", "eos_token", "stop_sequence"]
    generated_tokens: int
    seed: int | None
    prefill: list[Token]
    tokens: list[Token]
    top_tokens: list[list[Token]] | None = None


class Details(BaseModel):
    """How a text was generated."""

    finish_reason: Literal["length", "eos_token", "stop_sequence"]
    generated_tokens: int
    input_length: int = Field(description="Tokens of the prompt.")
    seed: int | None
    timings: Timings
    prefill: list[Token] = Field(default=[], description="With `decoder_input_details`: the prompt's tokens.")
    prefill_top_tokens: list[list[Token]] | None = None
    tokens: list[Token] = []
    top_tokens: list[list[Token]] | None = None
    best_of_sequences: list[BestOfSequence] | None = None


class Event(BaseModel):
    """One token of a stream; the last one of a text also has the whole text."""

    choice: int | None = Field(default=None, description="With several texts: the number of this one, from 0.")
    index: int = Field(description="Position of the token in its text, from 1.")
    token: Token = Field(description="Its text is what the whole text grows by; joined, they are the text.")
    top_tokens: list[Token] | None = None
    generated_text: str | None
    details: Details | None


class GeneratedText(BaseModel):
    """A generated text."""

    generated_text: str
    details: Details | None = None


class Vocabulary:
    """Formats tokens for answers.

    Args:
        tokenizer: of the text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._bytes = TokenBytes(tokenizer)
        self._special = frozenset(special_tokens(tokenizer).values())

    def token(
        self,
        token: int,
        logprob: float | None,
        text: str | None = None,
        *,
        with_bytes: bool = False,
        at_start: bool = False,
    ) -> dict[str, Any]:
        """A token, with `text` or, if None, its own text.

        Args:
            token: its id.
            logprob: of it.
            text: what a stream's text grows by with it.
            with_bytes: tell its bytes.
            at_start: it is the first of a text that continues no other.
        """
        text = self._bytes.text(token, at_start=at_start) if text is None else text
        named: dict[str, Any] = {"id": token, "text": text, "logprob": logprob, "special": token in self._special}
        return named | {"bytes": list(self._bytes.bytes(token, at_start=at_start))} if with_bytes else named

    def details(self, request: GenerationRequest, completion: Completion) -> dict[str, Any]:
        """Details without the tokens, as in the last event of a stream."""
        return {
            "finish_reason": FINISH[completion.finish],
            "generated_tokens": len(completion.tokens),
            "input_length": request.prompt_tokens,
            "seed": completion.seed,
            "timings": {"first_token_s": round(completion.first_token_s, 6), "total_s": round(completion.total_s, 6)},
        }

    def all_details(
        self,
        request: GenerationRequest,
        completion: Completion,
        *,
        with_bytes: bool = False,
        is_continuation: bool = False,
    ) -> dict[str, Any]:
        """Details with every token, and the likeliest at each position if requested.

        Args:
            request: the row.
            completion: of it.
            with_bytes: tell the bytes of the tokens.
            is_continuation: the text continues the prompt.
        """
        logprobs = completion.logprobs or [None] * len(completion.tokens)
        starts = [not is_continuation, *[False] * len(logprobs)]
        tokens = [
            self.token(token, logprob, with_bytes=with_bytes, at_start=at_start)
            for token, logprob, at_start in zip(completion.tokens, logprobs, starts, strict=False)
        ]
        details = self.details(request, completion) | {"prefill": [], "tokens": tokens}
        if completion.prompt_logprobs:
            details |= self._prefill(request, completion, with_bytes)
        if completion.top:
            details["top_tokens"] = [
                [self.token(*each, with_bytes=with_bytes, at_start=at_start) for each in top]
                for top, at_start in zip(completion.top, starts, strict=False)
            ]
        return details

    def _prefill(self, request: GenerationRequest, completion: Completion, with_bytes: bool) -> dict[str, Any]:
        """The tokens of the prompt; its text starts with the first one that is not special."""
        ids = request.prompt.ids
        start = next((place for place, token in enumerate(ids) if token not in self._special), None)
        tokens, top_tokens = [], []
        for place, (token, (logprob, top)) in enumerate(zip(ids, completion.prompt_logprobs, strict=True)):
            describe = partial(self.token, with_bytes=with_bytes, at_start=place == start)
            tokens.append(describe(token, logprob))
            top_tokens.append([describe(*each) for each in top])
        with_top = {"prefill_top_tokens": top_tokens} if request.params.top_n_tokens else {}
        return {"prefill": tokens} | with_top

    def event(
        self, piece: StreamedToken, index: int, *, with_bytes: bool = False, is_continuation: bool = False
    ) -> dict[str, Any]:
        """One token of a stream, with what the whole text grows by; `index` counts from 1, as TGI does."""
        at_start = index == 1 and not is_continuation
        token = self.token(piece.token, piece.logprob, piece.text, with_bytes=with_bytes, at_start=at_start)
        event: dict[str, Any] = {"index": index, "token": token}
        if piece.top:
            event["top_tokens"] = [self.token(*each, with_bytes=with_bytes, at_start=at_start) for each in piece.top]
        return event | {"generated_text": None, "details": None}


def best(outputs: Sequence[Completion], count: int) -> list[int]:
    """Indices of the `count` outputs with the highest mean log-probability, best first; of all in order if no more."""
    if len(outputs) <= count:
        return list(range(len(outputs)))
    by_mean = sorted(range(len(outputs)), key=lambda i: -outputs[i].logprob / max(1, len(outputs[i].tokens)))
    return by_mean[:count]
