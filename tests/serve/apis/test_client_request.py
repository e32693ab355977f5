"""What other services' clients send beside what they ask for: taken, refused by name, or ignored and named."""

import logging
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from serve.apis import client_request
from serve.apis.client_request import HEADER, ignored_headers, take_ignored
from serve.apis.embeddings_inference.classes import DocumentsRequest, RerankRequest
from serve.apis.embeddings_inference.vectors import EmbedRequest
from serve.apis.openai.chat import ChatRequest
from serve.apis.openai.completions import CompletionRequest
from serve.apis.openai.embeddings import EmbeddingsRequest
from serve.http.errors import validation_error

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
REPLAYED = {  # `model_dump()` of a message of openai's client
    "role": "assistant",
    "content": "b",
    "refusal": None,
    "annotations": [],
    "audio": None,
    "function_call": None,
    "tool_calls": None,
}
COMPLETION: dict[str, Any] = {"model": "m", "prompt": "a"}


@pytest.mark.parametrize(
    ("kind", "body", "fields"),
    [
        (ChatRequest, CHAT, {"tools": [], "tool_choice": "none", "logit_bias": {}, "modalities": ["text"]}),
        (ChatRequest, CHAT, {"n": None, "stream": None, "logprobs": None, "temperature": None, "stop": None}),
        (ChatRequest, CHAT, {"response_format": None, "stream_options": None, "parallel_tool_calls": True}),
        (ChatRequest, CHAT, {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto"}),
        (ChatRequest, CHAT, {"min_tokens": 0, "ignore_eos": False, "skip_special_tokens": True, "guided_json": None}),
        (ChatRequest, CHAT, {"messages": [*CHAT["messages"], REPLAYED, *CHAT["messages"]]}),
        (CompletionRequest, COMPLETION, {"logit_bias": {}, "suffix": None, "logprobs": None, "echo": None}),
        (EmbeddingsRequest, {"input": "a"}, {"encoding_format": None, "user": "u", "input_type": "query"}),
        (EmbedRequest, {"inputs": "a"}, {"truncate": None, "normalize": None, "options": {"wait_for_model": True}}),
        (RerankRequest, {"query": "a", "texts": ["b"]}, {"return_text": None, "raw_scores": None}),
        (DocumentsRequest, {"query": "a", "documents": ["b"]}, {"return_documents": None, "top_n": None}),
    ],
)
def test_what_asks_for_nothing_changes_nothing(
    kind: type[BaseModel], body: dict[str, Any], fields: dict[str, Any]
) -> None:
    request = kind.model_validate(body | fields)
    expected = kind.model_validate(body)
    if "messages" not in fields:
        assert request == expected
    assert take_ignored(request) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "body", "field", "value"),
    [
        (ChatRequest, CHAT, "tools", [{"type": "function", "function": {"name": "f"}}]),
        (ChatRequest, CHAT, "tool_choice", "required"),
        (ChatRequest, CHAT, "logit_bias", {"5": 100}),
        (ChatRequest, CHAT, "modalities", ["text", "audio"]),
        (ChatRequest, CHAT, "chat_template", "{{ messages }}"),
        (CompletionRequest, COMPLETION, "suffix", "z"),
        (CompletionRequest, COMPLETION, "min_tokens", 5),
        (CompletionRequest, COMPLETION, "ignore_eos", True),
        (CompletionRequest, COMPLETION, "adapter_id", "a"),
    ],
)
def test_what_asks_for_something_that_we_lack_is_refused_by_name(
    kind: type[BaseModel], body: dict[str, Any], field: str, value: Any
) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(body | {field: value})
    error = validation_error(caught.value)
    assert error.status == 422
    assert error.message.startswith(f"{field}: is not available here; leave it out")
    assert not {"True", "False"} & set(error.message.split()), "a client writes JSON"


def test_it_is_named_where_it_stands() -> None:
    message = {"role": "assistant", "content": "b", "tool_calls": [{"id": "1"}]}
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate_json(
            b'{"model":"m","messages":[{"role":"assistant","content":"b","tool_calls":[{"id":"1"}]}]}'
        )
    assert validation_error(caught.value).message.startswith("messages[0].tool_calls: is not available")
    with pytest.raises(ValidationError):
        ChatRequest.model_validate(CHAT | {"messages": [message]})


def test_true_is_not_one() -> None:
    """`ignore_eos: 0` is no false, and `min_tokens: false` no zero."""
    for field, value in (("ignore_eos", 0), ("min_tokens", False)):
        with pytest.raises(ValidationError):
            CompletionRequest.model_validate(COMPLETION | {field: value})


def test_a_required_field_that_is_null_is_missing() -> None:
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate(CHAT | {"model": None})
    assert validation_error(caught.value).message == "model: is missing"


def test_what_nobody_knows_is_ignored_and_named(caplog: pytest.LogCaptureFixture) -> None:
    body = CHAT | {"messages": [{"role": "user", "content": "a", "weight": 1}], "new": 1, "stream_options": {"x": 2}}
    request = ChatRequest.model_validate(body)
    ignored = take_ignored(request)
    assert sorted(ignored) == ["messages[0].weight", "new", "stream_options.x"]
    assert request.model_dump(exclude_none=True)["messages"] == [{"role": "user", "content": "a"}]
    assert take_ignored(request) == []
    client_request._logged.clear()
    with caplog.at_level(logging.WARNING):
        assert ignored_headers(ChatRequest, ignored) == ignored_headers(ChatRequest, ignored)
    assert len(caplog.records) == 1  # of many requests alike, one line
    assert "messages[0].weight" in caplog.text


def test_names_in_the_header_are_harmless() -> None:
    ((name, value),) = ignored_headers(EmbedRequest, ["a\r\nset-cookie: b", "ü", "c" * 100, *map(str, range(50))])
    assert name == HEADER
    assert value.startswith(b"a??set-cookie??b, ")
    assert value.isascii()
    assert b"\n" not in value
    assert value.count(b",") == client_request.MAX_NAMED - 1


def test_tgis_fields_of_the_own_route_that_ask_for_nothing() -> None:
    from deployments.generation.parameters import GenerationParameters

    given = {"watermark": False, "decoder_input_details": False, "adapter_id": None, "max_new_tokens": 3}
    assert GenerationParameters.model_validate(given).max_new_tokens == 3
    with pytest.raises(ValidationError):
        GenerationParameters.model_validate(given | {"watermark": True})
