"""Hugging Face's own JavaScript client, on Node: the calls of the Python client."""

from typing import Any

import pytest

from tests.clients.huggingface_calls import CALLS, Call, File, Own, close
from tests.clients.node import NEEDS_NODE, run
from tests.service.running import RunningService

CHAT = [{"role": "user", "content": "Who wrote the letter?"}]
GREEDY = {"max_new_tokens": 8, "do_sample": False}

pytestmark = [pytest.mark.ray, *NEEDS_NODE]


def marked(call: Call) -> Any:
    shown = [pytest.mark.client("@huggingface/inference", task, call=call.javascript[0]) for task in call.shows]
    return pytest.param(call, id=call.shows[-1], marks=shown)


def ask(url: str, method: str, arguments: dict[str, Any]) -> Any:
    """What the client gives back, or the error that it throws."""
    return run("huggingface.mjs", {"method": method, "arguments": arguments | {"endpointUrl": url}}, as_file)


def as_file(value: Any) -> Any:
    assert isinstance(value, File)
    return {"file": str(value.path), "type": value.type}


@pytest.mark.parametrize("call", [marked(call) for call in CALLS])
def test_a_call_gets_what_the_task_says(call: Call, request: pytest.FixtureRequest) -> None:
    service = request.getfixturevalue(call.service)
    told = ask(service.url + call.path, *call.javascript)
    assert close(told.get("answer"), call.expected(Own(service))), told


@pytest.mark.client("@huggingface/inference", "text-generation", call="textGeneration")
@pytest.mark.client("@huggingface/inference", "streams", call="textGenerationStream")
@pytest.mark.parametrize("path", ["/tasks/text-generation", "/models/llama"])
def test_text_generation(service: RunningService, path: str) -> None:
    options = GREEDY | {"return_full_text": True}
    expected = Own(service).ask("/tasks/text-generation", "The river", **options)[0]["generated_text"]
    told = ask(service.url + path, "textGeneration", {"inputs": "The river", "parameters": options})
    assert told == {"answer": {"generated_text": expected}}
    streamed = ask(service.url + path, "textGenerationStream", {"inputs": "The river", "parameters": GREEDY})
    assert "The river" + "".join(piece["choices"][0]["text"] for piece in streamed["answer"]) == expected


@pytest.mark.client("@huggingface/inference", "chat", call="chatCompletion")
@pytest.mark.client("@huggingface/inference", "streams", call="chatCompletionStream")
@pytest.mark.parametrize("path", ["/tasks/text-generation", "/models/llama"])
def test_chats(service: RunningService, path: str) -> None:
    expected = Own(service).ask("/tasks/text-generation", CHAT, **GREEDY)[0]["generated_text"]
    options = {"messages": CHAT, "max_tokens": 8, "temperature": 0}
    told = ask(service.url + path, "chatCompletion", options)
    assert told["answer"]["choices"][0]["message"]["content"] == expected
    pieces = ask(service.url + path, "chatCompletionStream", options)["answer"]
    assert "".join(piece["choices"][0]["delta"]["content"] for piece in pieces) == expected


def test_an_error_has_its_words(embedded: RunningService) -> None:
    told = ask(f"{embedded.url}/tasks/fill-mask", "fillMask", {"inputs": "There is nothing to fill in here."})
    assert told["status"] == 422
    assert "no mask" in told["error"]
