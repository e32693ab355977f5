"""`/v1/completions`: text that goes on where a prompt ends, in OpenAI's older form."""

import time
import uuid
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.errors import InvalidInput
from serve.apis.caller import Caller
from serve.apis.openai.errors import event_error
from serve.apis.openai.events import event_stream
from serve.apis.openai.writing import FINISH, Options, usage, usage_of
from serve.routes import Route

TASKS = ("text-generation", "text2text-generation")
MOST = 16  # tokens where the request names no number, as OpenAI has it


class CompletionRequest(Options):
    """The body of a request."""

    prompt: str | Annotated[list[str], Field(min_length=1)]
    max_tokens: int | None = None
    echo: bool = False
    best_of: int | None = None
    logprobs: int | None = None

    def echoed(self, index: int) -> str:
        """What a choice's text begins with."""
        prompts = self.prompt if isinstance(self.prompt, list) else [self.prompt]
        return prompts[index // self.n] if self.echo else ""

    def as_task(self) -> dict[str, Any]:
        """The task's own request."""
        parameters = self.parameters(self.max_tokens or MOST)
        if not self.stream or self.logprobs is not None:
            parameters["details"] = True
        if self.logprobs is not None:
            parameters["top_n_tokens"] = self.logprobs
        if self.echo:
            parameters["return_full_text"] = True
        if self.best_of is not None and self.best_of > self.n:
            parameters["best_of"] = self.best_of
        is_one = isinstance(self.prompt, list) and len(self.prompt) == 1
        return {"inputs": self.prompt[0] if is_one else self.prompt, "parameters": parameters}


class Completions:
    """Answers prompts."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def __call__(self, request: Request) -> Response:
        asked: CompletionRequest = await self._caller.read(request, CompletionRequest)
        route = self._caller.route(asked.model, TASKS, "completions")
        if asked.stream:
            if asked.n > 1 or (isinstance(asked.prompt, list) and len(asked.prompt) > 1) or asked.echo:
                raise InvalidInput("stream: takes one prompt and gives one choice, without echo")
            return await event_stream(self._chunks(request, route, asked))
        body = asked.as_task()
        reply = await self._caller.ask(request, route, body)
        answers = reply.json()
        texts = [text for item in answers for text in item] if isinstance(body["inputs"], list) else answers
        choices = [
            _choice(index, text, asked.logprobs is not None, asked.echoed(index)) for index, text in enumerate(texts)
        ]
        return JSONResponse(_head(asked.model) | {"choices": choices, "usage": usage_of(reply)})

    async def _chunks(
        self, request: Request, route: Route, asked: CompletionRequest
    ) -> AsyncGenerator[dict[str, Any], None]:
        head = _head(asked.model)
        empty: dict[str, Any] = {"usage": None} if asked.wants_usage else {}
        offset = 0
        async for event in self._caller.events(request, route, asked.as_task()):
            if "error" in event:
                yield event_error(event)
                return
            token, details = event["token"], event["details"]
            logprobs = None
            if asked.logprobs is not None:
                logprobs = _logprobs([token], [event.get("top_tokens") or []], offset)
            offset += len(token["text"])
            reason = FINISH[details["finish_reason"]] if details else None
            choice = {"index": 0, "text": token["text"], "logprobs": logprobs, "finish_reason": reason}
            yield head | {"choices": [choice]} | empty
            if details and asked.wants_usage:
                yield head | {"choices": [], "usage": usage(details["input_length"], details["generated_tokens"])}


def _head(model: str) -> dict[str, Any]:
    return {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": model}


def _choice(index: int, text: dict[str, Any], with_logprobs: bool, echoed: str) -> dict[str, Any]:
    details = text["details"]
    logprobs = None
    if with_logprobs:
        top = details.get("top_tokens") or [[]] * len(details["tokens"])
        logprobs = _logprobs(details["tokens"], top, len(echoed))
    reason = FINISH[details["finish_reason"]]
    return {"index": index, "text": text["generated_text"], "logprobs": logprobs, "finish_reason": reason}


def _logprobs(tokens: list[dict[str, Any]], top: list[list[dict[str, Any]]], offset: int) -> dict[str, Any]:
    texts = [token["text"] for token in tokens]
    offsets = [offset + sum(map(len, texts[:place])) for place in range(len(texts))]
    return {
        "tokens": texts,
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [{other["text"]: other["logprob"] for other in likeliest} for likeliest in top],
        "text_offset": offsets,
    }
