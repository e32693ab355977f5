"""`/v1/chat/completions`: the next message of a chat, with text or text and images."""

import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from serve.apis.client_request import ClientRequest
from serve.apis.model_client import ModelClient
from serve.apis.openai.errors import openai_error
from serve.apis.openai.generation import DONE, FINISH_REASONS, GenerationOptions, StreamUsage
from serve.apis.openai.logprobs import MAX_TOP_LOGPROBS, chat_logprobs
from serve.http.errors import JSONResponse
from serve.http.sse import event_response
from serve.routes import Route

TASKS = ("text-generation", "image-to-text")  # whose `inputs` may be a chat


class Message(ClientRequest):
    """A message; its parts are passed on unchanged and validated by the task.

    A client sends back what it got, with fields that its own classes add.
    """

    lacking = {"tool_calls": ([],), "function_call": (), "audio": ()}
    without_effect = frozenset({"refusal", "annotations", "reasoning", "reasoning_content"})

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]]
    name: str | None = None

    def as_input(self) -> dict[str, Any]:
        role = "system" if self.role == "developer" else self.role
        content = self.content
        if isinstance(content, list) and all(set(part) == {"type", "text"} for part in content):
            content = "".join(str(part["text"]) for part in content)
        return {"role": role, "content": content}


class NamedSchema(ClientRequest):
    """A JSON schema as OpenAI's clients send it; name and description have no effect."""

    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(ClientRequest):
    """The format of the text: OpenAI's types, and Hugging Face's with a `value`."""

    type: Literal["text", "json_object", "json_schema", "json", "regex"]
    json_schema: NamedSchema | None = None
    value: dict[str, Any] | str | None = None

    def as_grammar(self) -> dict[str, Any] | None:
        """The task's parameter."""
        if self.type == "text":
            return None
        if self.type == "json_schema" and self.json_schema is not None:
            return {"type": "json", "value": self.json_schema.schema_}
        return {"type": self.type, "value": self.value}


class ChatRequest(GenerationOptions):
    """The body of a request."""

    lacking = GenerationOptions.lacking | {
        "tools": ([],),
        "tool_choice": ("none", "auto"),
        "functions": ([],),
        "function_call": ("none", "auto"),
        "modalities": (["text"],),
        "audio": (),
        "prediction": (),
        "web_search_options": (),
        "reasoning_effort": ("none",),
        "add_generation_prompt": (True,),
        "continue_final_message": (False,),
        "chat_template": (),
        "chat_template_kwargs": ({},),
        "echo": (False,),
        "best_of": (1,),
    }
    without_effect = GenerationOptions.without_effect | {"parallel_tool_calls", "verbosity"}

    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=0)
    max_completion_tokens: int | None = Field(default=None, ge=0)
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    response_format: ResponseFormat | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs")
        return self

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def as_task(self) -> dict[str, Any]:
        """The task's own request."""
        parameters = self.parameters()
        if self.token_limit is None:
            parameters["fill_context"] = True
        if self.response_format is not None and (grammar := self.response_format.as_grammar()):
            parameters["grammar"] = grammar
        if self.logprobs:
            parameters |= {"details": True, "token_bytes": True, "top_n_tokens": self.top_logprobs or 0}
        elif self.n > 1 or not self.stream:
            parameters["details"] = True  # for the finish reasons
        return {"inputs": [message.as_input() for message in self.messages], "parameters": parameters}


class Chat:
    """Handles chat requests."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client

    async def __call__(self, request: Request) -> Response:
        payload: ChatRequest = await self._client.read(request, ChatRequest)
        route = self._client.route(payload.model, TASKS, "chat")
        if payload.stream:
            return await event_response(self._chunks(request, route, payload), DONE)
        reply = await self._client.post(request, route, payload.as_task())
        texts = payload.visible_texts(reply.json())
        choices = [_choice(index, text, payload.logprobs) for index, text in enumerate(texts)]
        answer = _head("chat.completion", payload.model) | {"choices": choices, "usage": payload.usage_of(reply)}
        return JSONResponse(answer)

    async def _chunks(
        self, request: Request, route: Route, payload: ChatRequest
    ) -> AsyncGenerator[dict[str, Any], None]:
        head = _head("chat.completion.chunk", payload.model)
        empty: dict[str, Any] = {"usage": None} if payload.wants_usage else {}
        used = StreamUsage(payload.n)
        async for event in self._client.stream(request, route, payload.as_task()):
            if "error" in event:
                yield openai_error(event)
                return
            event = payload.visible_event(event)
            index = event.get("choice", 0)
            delta: dict[str, Any] = {"role": "assistant"} if event["index"] == 1 else {}
            delta["content"] = event["token"]["text"]
            logprobs = None
            if payload.logprobs and not payload.writes_nothing and not event["token"]["special"]:
                logprobs = chat_logprobs([event["token"]], [event.get("top_tokens") or []])
            reason = None
            if details := event["details"]:
                reason = FINISH_REASONS[details["finish_reason"]]
                used.add(index, details)
            choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
            yield head | {"choices": [choice]} | empty
        if payload.wants_usage:
            yield head | {"choices": [], "usage": used.total()}


def _head(kind: str, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _choice(index: int, text: dict[str, Any], with_logprobs: bool) -> dict[str, Any]:
    details = text["details"]
    logprobs = None
    if with_logprobs:
        logprobs = chat_logprobs(details["tokens"], details.get("top_tokens") or [])
    return {
        "index": index,
        "message": {"role": "assistant", "content": text["generated_text"]},
        "logprobs": logprobs,
        "finish_reason": FINISH_REASONS[details["finish_reason"]],
    }
