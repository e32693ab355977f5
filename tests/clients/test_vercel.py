"""Vercel's `ai` with its provider for services that speak OpenAI's API, on Node."""

import base64
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema import validate

from tests.clients.node import NEEDS_NODE, run
from tests.service.running import RunningService

pytestmark = [pytest.mark.ray, *NEEDS_NODE]
TEXTS = ["A man plays a guitar.", "Somebody makes music."]
CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who wrote the letter?"}]
PICTURE = Path(__file__).parents[2] / "examples/media/cat.jpg"
GREEDY = {"max_new_tokens": 8, "do_sample": False}
OPTIONS = {"messages": CHAT, "maxOutputTokens": 8, "temperature": 0}
PERSON = {
    "type": "object",
    "properties": {"name": {"enum": ["Anna", "Bert"]}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def ask(service: RunningService, method: str, model: str, options: dict[str, Any]) -> Any:
    asked = {"method": method, "url": f"{service.url}/v1", "model": model, "arguments": options}
    return run("vercel.mjs", asked)


def own(service: RunningService, task: str, inputs: Any, **parameters: Any) -> Any:
    body = {"inputs": inputs} | ({"parameters": parameters} if parameters else {})
    return httpx.post(f"{service.url}/tasks/{task}", json=body, timeout=60).json()


@pytest.mark.client("Vercel's ai", "feature-extraction", call="embedMany")
def test_vectors(service: RunningService) -> None:
    answer = ask(service, "embedMany", "minilm", {"values": TEXTS})["answer"]
    np.testing.assert_allclose(answer["embeddings"], own(service, "feature-extraction", TEXTS), atol=1e-6)
    assert answer["usage"]["tokens"] > 0


@pytest.mark.client("Vercel's ai", "text-generation", "chat", call="generateText")
@pytest.mark.client("Vercel's ai", "streams", call="streamText")
def test_a_chat(service: RunningService) -> None:
    (expected,) = own(service, "text-generation", CHAT, **GREEDY, details=True)
    answer = ask(service, "generateText", "llama", OPTIONS)["answer"]
    assert answer["text"] == expected["generated_text"]
    assert answer["usage"]["inputTokens"] == expected["details"]["input_length"]
    assert answer["usage"]["outputTokens"] == 8
    assert answer["finishReason"] == "length"
    streamed = ask(service, "streamText", "llama", OPTIONS)["answer"]
    assert "".join(streamed["texts"]) == expected["generated_text"]
    assert streamed["usage"] == answer["usage"]
    assert streamed["finishReason"] == "length"


@pytest.mark.client("Vercel's ai", "text2text-generation", call="generateText")
def test_a_completion(service: RunningService) -> None:
    """The client writes the prompt as a dialogue, whatever the model."""
    dialogue = "user:\nThe river rose.\n\nassistant:\n"
    expected = own(service, "text2text-generation", dialogue, **GREEDY)[0]["generated_text"]
    options = {"prompt": "The river rose.", "maxOutputTokens": 8, "temperature": 0}
    told = ask(service, "completion", "t5", options)
    assert told["answer"]["text"] == expected


@pytest.mark.client("Vercel's ai", "image-to-text", call="generateText")
def test_a_chat_about_a_picture(service: RunningService) -> None:
    data, question = base64.b64encode(PICTURE.read_bytes()).decode(), "What is this?"
    parts = [{"type": "image", "image": data, "mediaType": "image/jpeg"}, {"type": "text", "text": question}]
    options = OPTIONS | {"messages": [{"role": "user", "content": parts}]}
    picture = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
    asked = [{"role": "user", "content": [picture, {"type": "text", "text": question}]}]
    told = ask(service, "generateText", "llava", options)
    assert told["answer"]["text"] == own(service, "image-to-text", asked, **GREEDY)[0]["generated_text"]


@pytest.mark.client("Vercel's ai", "JSON schemas", call="generateText")
def test_an_object_of_a_schema(service: RunningService) -> None:
    answer = ask(service, "generateText", "llama", OPTIONS | {"schema": PERSON, "maxOutputTokens": 80})["answer"]
    validate(answer["output"], PERSON)


def test_an_error_has_its_words(service: RunningService) -> None:
    told = ask(service, "generateText", "nobody", OPTIONS)
    assert told["status"] == 404
    assert "nobody" in told["error"]
