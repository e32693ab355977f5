"""`/v1/completions`: text that goes on where a prompt ends, in OpenAI's older form."""

import time
import uuid
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.text.tokens import TokenIds, are_ids
from serve.apis.caller import Caller
from serve.apis.openai.errors import event_error
from serve.apis.openai.events import event_stream
from serve.apis.openai.writing import FINISH, Options, StreamUsage, usage_of
from serve.http.errors import JSONResponse
from serve.routes import Route

TASKS = ("text-generation", "text2text-generation")
MOST = 16  # tokens where the request names no number, as OpenAI has it


class CompletionRequest(Options):
    """The body of a request."""

    prompt: str | Annotated[list[str], Field(min_length=1)] | TokenIds | Annotated[list[TokenIds], Field(min_length=1)]
    max_tokens: int | None = None
    echo: bool = False
    best_of: int | None = None
    logprobs: int | None = None

    @property
    def prompts(self) -> list[Any]:
        """Texts, or the token ids of texts."""
        return self.prompt if isinstance(self.prompt, list) and not are_ids(self.prompt) else [self.prompt]

    def as_task(self) -> dict[str, Any]:
        """The task's own request."""
        parameters = self.parameters(self.max_tokens or MOST)
        if not self.stream or self.logprobs is not None:
            parameters["details"] = True
        if self.logprobs is not None:
            parameters["top_n_tokens"] = self.logprobs
        if self.best_of is not None and self.best_of > self.n:
            parameters["best_of"] = self.best_of
        prompts = self.prompts
        return {"inputs": prompts[0] if len(prompts) == 1 else prompts, "parameters": parameters}


class Completions:
    """Answers prompts."""

    request: type[CompletionRequest] = CompletionRequest

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def __call__(self, request: Request) -> Response:
        asked: CompletionRequest = await self._caller.read(request, self.request)
        route = self._caller.route(asked.model, TASKS, "completions")
        echoed = await self._echoed(request, route, asked)
        if asked.stream:
            return await event_stream(self._chunks(request, route, asked, echoed))
        reply = await self._caller.ask(request, route, asked.as_task())
        answers = reply.json()
        texts = [text for item in answers for text in item] if len(asked.prompts) > 1 else answers
        choices = [
            _choice(index, text, asked.logprobs is not None, echoed[index // asked.n])
            for index, text in enumerate(texts)
        ]
        return JSONResponse(_head(asked.model) | {"choices": choices, "usage": usage_of(reply)})

    async def _echoed(self, request: Request, route: Route, asked: CompletionRequest) -> list[str]:
        """What the texts to each prompt begin with."""
        if not asked.echo:
            return [""] * len(asked.prompts)
        if not are_ids(asked.prompts[0]):
            return asked.prompts
        texts: list[str] = (await self._caller.ask(request, route, {"ids": asked.prompts}, "/decode")).json()
        return texts

    async def _chunks(
        self, request: Request, route: Route, asked: CompletionRequest, echoed: list[str]
    ) -> AsyncGenerator[dict[str, Any], None]:
        head = _head(asked.model)
        empty: dict[str, Any] = {"usage": None} if asked.wants_usage else {}
        used = StreamUsage(asked.n)
        offsets = [len(text) for text in echoed for _ in range(asked.n)]
        async for event in self._caller.events(request, route, asked.as_task()):
            if "error" in event:
                yield event_error(event)
                return
            index, token = event.get("choice", 0), event["token"]
            logprobs = None
            if asked.logprobs is not None:
                logprobs = _logprobs([token], [event.get("top_tokens") or []], offsets[index])
            offsets[index] += len(token["text"])
            reason = None
            if details := event["details"]:
                reason = FINISH[details["finish_reason"]]
                used.add(index, details)
            text = (echoed[index // asked.n] if event["index"] == 1 else "") + token["text"]
            choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
            yield head | {"choices": [choice]} | empty
        if asked.wants_usage:
            yield head | {"choices": [], "usage": used.total()}


def _head(model: str) -> dict[str, Any]:
    return {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": model}


def _choice(index: int, text: dict[str, Any], with_logprobs: bool, echoed: str) -> dict[str, Any]:
    details = text["details"]
    logprobs = None
    if with_logprobs:
        top = details.get("top_tokens") or [[]] * len(details["tokens"])
        logprobs = _logprobs(details["tokens"], top, len(echoed))
    reason = FINISH[details["finish_reason"]]
    written = echoed + text["generated_text"]
    return {"index": index, "text": written, "logprobs": logprobs, "finish_reason": reason}


def _logprobs(tokens: list[dict[str, Any]], top: list[list[dict[str, Any]]], offset: int) -> dict[str, Any]:
    texts = [token["text"] for token in tokens]
    offsets = [offset + sum(map(len, texts[:place])) for place in range(len(texts))]
    return {
        "tokens": texts,
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [{other["text"]: other["logprob"] for other in likeliest} for likeliest in top],
        "text_offset": offsets,
    }
