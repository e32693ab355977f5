"""`/v1/completions`: the continuation of a prompt."""

import time
import uuid
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from deployments.text.tokens import TokenIds, are_ids
from serve.apis.model_client import ModelClient
from serve.apis.openai.errors import openai_error
from serve.apis.openai.generation import DONE, FINISH_REASONS, GenerationOptions, StreamUsage
from serve.apis.openai.logprobs import MAX_TOP_LOGPROBS, CompletionLogprobs
from serve.http.errors import JSONResponse
from serve.http.sse import event_response
from serve.routes import Route

TASKS = ("text-generation", "text2text-generation")
DEFAULT_MAX_TOKENS = 16  # OpenAI's default


class CompletionRequest(GenerationOptions):
    """The body of a request."""

    lacking = GenerationOptions.lacking | {"suffix": ("",)}

    prompt: str | Annotated[list[str], Field(min_length=1)] | TokenIds | Annotated[list[TokenIds], Field(min_length=1)]
    max_tokens: int | None = Field(default=None, ge=0)
    echo: bool = False
    best_of: int | None = None
    logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stream and self.tells_prompt_logprobs:
            raise ValueError("echo and logprobs together are not available in a stream; leave out one of them")
        return self

    @property
    def tells_prompt_logprobs(self) -> bool:
        return self.echo and self.logprobs is not None

    @property
    def prompts(self) -> list[Any]:
        """Texts, or lists of token ids."""
        return self.prompt if isinstance(self.prompt, list) and not are_ids(self.prompt) else [self.prompt]

    @property
    def token_limit(self) -> int:
        return DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens

    def as_task(self) -> dict[str, Any]:
        """The task's own request."""
        parameters = self.parameters()
        if not self.stream or self.logprobs is not None:
            parameters["details"] = True
        if self.logprobs is not None:
            parameters |= {"top_n_tokens": self.logprobs, "token_bytes": True}
        if self.tells_prompt_logprobs:
            parameters["decoder_input_details"] = True
        if self.best_of is not None and self.best_of > self.n:
            parameters["best_of"] = self.best_of
        prompts = self.prompts
        return {"inputs": prompts[0] if len(prompts) == 1 else prompts, "parameters": parameters}


class Completions:
    """Handles completion requests."""

    request: type[CompletionRequest] = CompletionRequest

    def __init__(self, client: ModelClient) -> None:
        self._client = client

    async def __call__(self, request: Request) -> Response:
        payload: CompletionRequest = await self._client.read(request, self.request)
        route = self._client.route(payload.model, TASKS, "completions")
        echoed = await self._echoed(request, route, payload)
        if payload.stream:
            return await event_response(self._chunks(request, route, payload, echoed), DONE)
        reply = await self._client.post(request, route, payload.as_task())
        answers = reply.json()
        texts = [text for item in answers for text in item] if len(payload.prompts) > 1 else answers
        choices = [
            _choice(index, text, payload.logprobs, echoed[index // payload.n])
            for index, text in enumerate(payload.visible_texts(texts))
        ]
        return JSONResponse(_head(payload.model) | {"choices": choices, "usage": payload.usage_of(reply)})

    async def _echoed(self, request: Request, route: Route, payload: CompletionRequest) -> list[str]:
        """The text of each prompt if it is echoed; else empty texts."""
        if not payload.echo:
            return [""] * len(payload.prompts)
        if not are_ids(payload.prompts[0]):
            return payload.prompts
        texts: list[str] = (await self._client.post(request, route, {"ids": payload.prompts}, "/decode")).json()
        return texts

    async def _chunks(
        self, request: Request, route: Route, payload: CompletionRequest, echoed: list[str]
    ) -> AsyncGenerator[dict[str, Any], None]:
        head = _head(payload.model)
        empty: dict[str, Any] = {"usage": None} if payload.wants_usage else {}
        used = StreamUsage(payload.n)
        logprobs_of = [CompletionLogprobs(payload.logprobs or 0) for _ in range(len(echoed) * payload.n)]
        async for event in self._client.stream(request, route, payload.as_task()):
            if "error" in event:
                yield openai_error(event)
                return
            event = payload.visible_event(event)
            index, token = event.get("choice", 0), event["token"]
            logprobs = None
            if payload.logprobs is not None and not payload.writes_nothing:
                logprobs = logprobs_of[index].add([token], [event.get("top_tokens") or []])
            reason = None
            if details := event["details"]:
                reason = FINISH_REASONS[details["finish_reason"]]
                used.add(index, details)
            text = (echoed[index // payload.n] if event["index"] == 1 else "") + token["text"]
            choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
            yield head | {"choices": [choice]} | empty
        if payload.wants_usage:
            yield head | {"choices": [], "usage": used.total()}


def _head(model: str) -> dict[str, Any]:
    return {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": model}


def _choice(index: int, text: dict[str, Any], top_logprobs: int | None, echoed: str) -> dict[str, Any]:
    details = text["details"]
    logprobs = None
    if top_logprobs is not None:
        top = [*(details.get("prefill_top_tokens") or []), *(details.get("top_tokens") or [])]
        logprobs = CompletionLogprobs(top_logprobs).add([*details["prefill"], *details["tokens"]], top)
    reason = FINISH_REASONS[details["finish_reason"]]
    return {"index": index, "text": echoed + text["generated_text"], "logprobs": logprobs, "finish_reason": reason}
