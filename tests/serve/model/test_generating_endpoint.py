"""The ASGI application of a generating model without a stream: token counts in headers, and the model's description."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from deployments.replica.replica import Replica
from serve.config.service import Limits, MediaSources
from serve.model.endpoint import Endpoint
from serve.routes import RouteTable
from tests.writing_checkpoints import Writing

PATH = "/tasks/text-generation"


def client_of(replica: Replica) -> httpx.AsyncClient:
    table = RouteTable([("small", replica.task_class)])
    app = Endpoint(replica, table.routes[0], Limits(request_timeout_s=60), MediaSources())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def client(writing: Writing) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(writing.replica("llama")) as client:
        yield client


def tokens(answer: httpx.Response) -> tuple[int, int]:
    return int(answer.headers["x-prompt-tokens"]), int(answer.headers["x-generated-tokens"])


async def post(client: httpx.AsyncClient, inputs: Any, **parameters: Any) -> httpx.Response:
    body = {"inputs": inputs, "parameters": {"max_new_tokens": 5, **parameters}}
    answer = await client.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    return answer


async def test_headers_count_the_tokens_of_all_inputs_and_all_texts(client: httpx.AsyncClient) -> None:
    answer = await post(client, "The river rose", details=True)
    details = answer.json()[0]["details"]
    assert tokens(answer) == (details["input_length"], 5)
    read, _ = tokens(answer)
    both = await post(client, ["The river rose", "The river rose"])
    assert tokens(both) == (2 * read, 10), "each input is read by itself"
    several = await post(client, "The river rose", num_return_sequences=3, do_sample=True, min_new_tokens=5)
    assert tokens(several) == (read, 15), "one input is read once"
    first = details["tokens"][0]["id"]
    assert tokens(await post(client, "The river rose", eos_token_id=first)) == (read, 1), "the end is a token, too"


async def test_other_headers(client: httpx.AsyncClient) -> None:
    answer = await post(client, ["The river rose in the night", "a"], truncate=4)
    assert answer.headers["x-model"] == "small"
    assert answer.headers["x-truncated-inputs"] == "1"
    assert int(answer.headers["x-batch-size"]) >= 1
    assert 0 <= float(answer.headers["x-padding-ratio"]) < 1
    names = [part.split(";")[0].strip() for part in answer.headers["server-timing"].split(",")]
    assert names == ["queue", "preprocess", "forward", "postprocess", "total"]
    times = [float(part.split("=")[1]) for part in answer.headers["server-timing"].split(",")]
    assert all(0 <= each <= times[-1] for each in times)


async def test_beams_have_headers_too(client: httpx.AsyncClient) -> None:
    assert tokens(await post(client, "The river rose", num_beams=2, min_new_tokens=5))[1] == 5


@pytest.mark.parametrize(
    ("family", "config", "expected"),
    [
        ("llama", {}, {"mode": "in-flight", "max_rows": 16}),
        ("llama", {"generation": {"max_rows": 3, "max_cache_tokens": 512}}, {"max_rows": 3, "max_cache_tokens": 512}),
        ("llama", {"generation": {"engine": "static"}}, {"mode": "static", "reason": "generation.engine is static"}),
        ("mamba", {}, {"mode": "static"}),
    ],
)
async def test_the_description_says_how_the_model_writes(
    writing: Writing, family: str, config: dict[str, Any], expected: dict[str, Any]
) -> None:
    async with client_of(writing.replica(family, config)) as client:
        description = (await client.get(PATH)).json()
    generation = description["generation"]
    assert generation | expected == generation
    assert ("difference" in generation) == (generation["mode"] == "in-flight")
    assert bool(generation.get("reason")) == (generation["mode"] == "static")
    assert (description["model"], description["task"]) == ("small", "text-generation")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": "a", "max_new_tokens": 5}, "max_new_tokens: unknown field"),
        ({"inputs": "a", "parameters": {"max_tokens": 5}}, "parameters.max_tokens: unknown field"),
        ({"inputs": [{"role": "user", "content": "a", "name": "b"}]}, "inputs[0].name: unknown field"),
        ({"inputs": [{"role": "robot", "content": "a"}]}, "inputs[0].role: should be 'system', 'user' or 'assistant'"),
        ({"inputs": [{"role": "user"}]}, "inputs[0].content: is missing"),
        ({"inputs": [[{"role": "user", "content": 7}]]}, "inputs[0][0].content: should be a valid string"),
        ({"inputs": "a", "parameters": {"stop": [""]}}, "parameters.stop[0]: string should have at least 1 character"),
        ({"inputs": "a", "parameters": {"stop": ["a"] * 17}}, "parameters.stop: list should have at most 16 items"),
        ({"inputs": "a", "parameters": {"top_n_tokens": 21}}, "parameters.top_n_tokens: should be less than or equal"),
        ({"inputs": "a", "parameters": {"num_beams": 0}}, "parameters.num_beams: should be greater than or equal to 1"),
        (
            {"inputs": "a", "parameters": {"max_new_tokens": "5"}},
            "parameters.max_new_tokens: should be a valid integer",
        ),
        (
            {"inputs": "a", "parameters": {"best_of": 2, "num_return_sequences": 3}},
            "parameters: best_of must be at least num_return_sequences",
        ),
        ({"inputs": ""}, "inputs is empty"),
        ({"inputs": []}, "inputs is an empty list"),
        ({"inputs": [["a"]]}, "inputs"),
    ],
)
async def test_what_is_wrong_with_a_body_is_named(client: httpx.AsyncClient, body: Any, message: str) -> None:
    answer = await client.post(PATH, json=body)
    assert answer.status_code == 422
    assert message in answer.json()["error"]
