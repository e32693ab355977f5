"""What OpenAI's clients ask for, in the task's own terms."""

from typing import Any

import pytest
from pydantic import ValidationError

from serve.apis.openai.chat import ChatRequest
from serve.apis.openai.completions import CompletionRequest
from serve.apis.openai.errors import openai_error

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "a"}]}


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_completion_tokens": 0, "max_tokens": 5}, 0),
        ({"max_tokens": 0}, 0),
    ],
)
def test_the_limit_of_a_chat(given: dict[str, int], limit: int | None) -> None:
    request = ChatRequest.model_validate(CHAT | given)
    assert request.token_limit == limit
    parameters = request.as_task()["parameters"]
    assert parameters.get("max_new_tokens") == (1 if limit == 0 else limit)
    assert parameters.get("fill_context", False) == (limit is None)


@pytest.mark.parametrize(("given", "asked"), [({}, 16), ({"max_tokens": 0}, 1), ({"max_tokens": 3}, 3)])
def test_the_limit_of_a_completion(given: dict[str, int], asked: int) -> None:
    request = CompletionRequest.model_validate({"model": "m", "prompt": "a"} | given)
    assert request.as_task()["parameters"]["max_new_tokens"] == asked
    assert request.writes_nothing == (given == {"max_tokens": 0})


def test_a_negative_limit_is_refused() -> None:
    for field in ("max_tokens", "max_completion_tokens"):
        with pytest.raises(ValidationError):
            ChatRequest.model_validate(CHAT | {field: -1})


def test_what_was_written_for_nothing_is_left_out() -> None:
    details = {"finish_reason": "eos_token", "tokens": [{"text": "b"}], "generated_tokens": 1, "input_length": 4}
    request = CompletionRequest.model_validate({"model": "m", "prompt": "a", "max_tokens": 0})
    (left,) = request.visible_texts([{"generated_text": "b", "details": details}])
    assert left["generated_text"] == ""
    assert (left["details"]["finish_reason"], left["details"]["tokens"]) == ("length", [])
    event = request.visible_event({"index": 1, "token": {"text": "b"}, "details": details})
    assert event["token"]["text"] == ""
    assert event["details"] == details | {"finish_reason": "length", "generated_tokens": 0}


def test_a_context_that_is_too_long_has_openais_status() -> None:
    content = {"error": "too long", "error_type": "context_length_exceeded", "request_id": "a"}
    assert openai_error(content)["error"]["code"] == "context_length_exceeded"
    assert openai_error.status(content, 422) == 400
    assert openai_error.status(content | {"error_type": "invalid_input"}, 422) == 422
