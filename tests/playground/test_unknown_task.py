"""A fourteenth task appears by itself, with a form made from its schema."""

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.playground.bench import Bench
from tests.service.running import RunningService

if TYPE_CHECKING:
    from playwright.async_api import Route

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="package")]

TASK, PATH = "next-sentence-prediction", "/tasks/next-sentence-prediction"
SENTENCES = {
    "type": "object",
    "properties": {
        "first": {"type": "string", "description": "What comes first."},
        "second": {"type": "string"},
        "weight": {"type": "number", "default": 1.5},
    },
}
REQUEST = {
    "type": "object",
    "properties": {
        "inputs": {
            "anyOf": [{"$ref": "#/components/schemas/Sentences"}, {"type": "array"}],
            "description": "Two sentences.",
        },
        "parameters": {"$ref": "#/components/schemas/NextParameters"},
    },
}
PARAMETERS = {
    "type": "object",
    "properties": {
        "mode": {"anyOf": [{"enum": ["fast", "exact"], "type": "string"}, {"type": "null"}], "default": None},
        "words": {"type": "array", "items": {"type": "string"}},
        "deep": {"type": "object"},
    },
}
EXAMPLE = {"inputs": {"first": "The river rose.", "second": "The bridge was gone."}}


def with_a_task_more(models: Any, document: Any) -> None:
    models["data"].append({"id": "nsp", "object": "model", "task": TASK, "paths": [PATH]})
    content = {"application/json": {"schema": REQUEST, "example": EXAMPLE}}
    document["paths"][PATH] = {"post": {"requestBody": {"content": content}}}
    document["tags"].append({"name": TASK, "description": "How likely a sentence follows another."})
    document["components"]["schemas"] |= {"Sentences": SENTENCES, "NextParameters": PARAMETERS}


async def test_a_form_is_made_from_the_schema(bench: Bench, embedded: RunningService) -> None:
    async with httpx.AsyncClient(base_url=embedded.url) as client:
        models, document = [(await client.get(path)).json() for path in ("/v1/models", "/openapi.json")]
    with_a_task_more(models, document)
    asked: list[Any] = []

    async def answer(route: "Route") -> None:
        asked.append(json.loads(route.request.post_data or ""))
        await route.fulfill(json=[{"label": "follows", "score": 0.75}, {"label": "does not", "score": 0.25}])

    await bench.page.route("**/v1/models", lambda route: route.fulfill(json=models))
    await bench.page.route("**/openapi.json", lambda route: route.fulfill(json=document))
    await bench.page.route(f"**{PATH}", answer)
    await bench.open()
    await bench.turn_to(TASK)
    assert await bench.page.locator("h1").inner_text() == "Next sentence prediction"
    assert await bench.page.get_by_label("first").input_value() == "The river rose."
    await bench.page.get_by_label("weight").fill("2.5")
    await bench.page.locator("summary").click()
    await bench.page.get_by_label("mode", exact=True).select_option("exact")
    await bench.page.get_by_label("words").fill("one\ntwo")
    await bench.page.get_by_label("deep").fill('{"a": [1]}')
    await bench.run()
    inputs = EXAMPLE["inputs"] | {"weight": 2.5}
    assert asked == [{"inputs": inputs, "parameters": {"mode": "exact", "words": ["one", "two"], "deep": {"a": [1]}}}]
    assert await bench.shown(".bar-name") == ["follows", "does not"]
    await bench.page.get_by_label("deep").fill("{")
    await bench.button.click()
    assert (await bench.shown(".error-words"))[0].startswith("deep: ")
