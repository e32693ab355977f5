"""One model's ASGI application, asked in memory: answers, headers, and every kind of bad request."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from deployments.config import ModelConfig
from deployments.registry import find_task
from deployments.replica.limits import ReplicaLimits
from deployments.replica.replica import Replica
from serve.config.service import Limits, MediaSources
from serve.model.endpoint import Endpoint
from serve.routes import RouteTable
from tests.checkpoints import small_checkpoint
from tests.waiting import until_async

KIND = find_task("text-classification")
TABLE = RouteTable([("small", KIND), ("other", KIND)])
LIMITS = Limits(max_body_mb=0.25, max_batch_items=8, request_timeout_s=20)
PATH = "/tasks/text-classification"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Replica:
    folder = small_checkpoint(tmp_path_factory.mktemp("small"), "bert", "SequenceClassification")
    replica = Replica(ModelConfig(model=str(folder), name="small"), KIND, limits=ReplicaLimits(max_waiting=40))
    replica.load()
    return replica


@pytest.fixture
async def client(replica: Replica) -> AsyncIterator[httpx.AsyncClient]:
    app = Endpoint(replica, TABLE.routes[0], LIMITS, MediaSources())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_an_answer_and_its_headers(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"inputs": "The river rose."})
    assert answer.status_code == 200
    labels = answer.json()[0]
    assert sum(label["score"] for label in labels) == pytest.approx(1, abs=1e-5)
    assert labels == sorted(labels, key=lambda label: -label["score"])
    assert answer.headers["x-model"] == "small"
    assert answer.headers["x-batch-size"] == "1"
    assert answer.headers["x-padding-ratio"] == "0.000"
    names = [part.split(";")[0].strip() for part in answer.headers["server-timing"].split(",")]
    assert names == ["queue", "preprocess", "forward", "postprocess", "total"]


async def test_a_client_batch_keeps_its_order(client: httpx.AsyncClient) -> None:
    texts = ["The river rose.", "Never again!", "Who wrote the letter?"]
    batch = (await client.post(PATH, json={"inputs": texts})).json()
    alone = [(await client.post(PATH, json={"inputs": text})).json()[0] for text in texts]
    for together, single in zip(batch, alone, strict=True):
        assert [label["label"] for label in together] == [label["label"] for label in single]
        assert [label["score"] for label in together] == pytest.approx([label["score"] for label in single], abs=1e-5)


async def test_cut_inputs_are_counted(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"inputs": ["short", "long " * 500]})
    assert answer.headers["x-truncated-inputs"] == "1"
    refused = await client.post(PATH, json={"inputs": ["short", "long " * 500], "parameters": {"truncate": False}})
    assert refused.status_code == 422
    assert "inputs[1]: inputs has" in refused.json()["error"]
    assert "the model reads at most 128" in refused.json()["error"]


@pytest.mark.parametrize(
    ("content", "headers", "status", "error_type", "message"),
    [
        (b"{", {}, 400, "malformed_request", "not JSON"),
        (b'{"inputs":"a"}', {"content-type": "text/plain"}, 415, "unsupported_media", "not text/plain"),
        (b'{"inputs":""}', {}, 422, "invalid_input", "inputs is empty"),
        (b'{"inputs":[]}', {}, 422, "invalid_input", "empty list"),
        (b'{"inputs":["a","  "]}', {}, 422, "invalid_input", "inputs[1]"),
        (b'{"inputs":["a","b","c","d","e","f","g","h","i"]}', {}, 413, "too_large", "9 items"),
        (b'{"inputs":"' + b"a" * 300_000 + b'"}', {}, 413, "too_large", "bytes"),
    ],
)
async def test_bad_requests(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, error_type: str, message: str
) -> None:
    answer = await client.post(PATH, content=content, headers={"content-type": "application/json", **headers})
    body = answer.json()
    assert (answer.status_code, body["error_type"]) == (status, error_type), body
    assert message in body["error"]
    assert set(body) == {"error", "error_type", "request_id"}
    assert "server-timing" in answer.headers


async def test_unusual_text_is_answered(client: httpx.AsyncClient) -> None:
    for text in ("🙂🎉👩‍🚀", "שלום עולם", "a\x00b\x07", "\u202eright to left", "日本", "e\u0301" * 50):
        assert (await client.post(PATH, json={"inputs": text})).status_code == 200, text


async def test_a_body_that_is_streamed_over_the_limit(client: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"a" * 100_000

    answer = await client.post(PATH, content=pieces(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


async def test_the_request_id_is_kept(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"inputs": 1}, headers={"x-request-id": "mine"})
    assert answer.json()["request_id"] == "mine"


async def test_other_paths_and_methods(client: httpx.AsyncClient) -> None:
    assert (await client.post(f"{PATH}/small", json={"inputs": "a"})).status_code == 200
    missing = await client.post(f"{PATH}/smal", json={"inputs": "a"})
    assert missing.status_code == 404
    assert "did you mean 'small'?" in missing.json()["error"]
    assert (await client.delete(PATH)).status_code == 405
    description = (await client.get(PATH)).json()
    assert (description["layout"], description["max_length"]) == ("packed", 128)


async def test_what_is_over_the_waiting_line_is_refused(client: httpx.AsyncClient) -> None:
    async def ask() -> httpx.Response:
        return await client.post(PATH, json={"inputs": "word " * 60})

    answers = await asyncio.gather(*(ask() for _ in range(120)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 40
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error_type"] == "overloaded"
    assert (await ask()).status_code == 200


async def test_a_client_that_leaves_frees_its_place(replica: Replica, client: httpx.AsyncClient) -> None:
    tasks = [asyncio.create_task(client.post(PATH, json={"inputs": "word " * 60})) for _ in range(30)]
    await until_async(lambda: replica.in_flight > 0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert replica.in_flight == 0
    assert (await client.post(PATH, json={"inputs": "still here"})).status_code == 200


async def test_the_deadline_is_kept(replica: Replica) -> None:
    app = Endpoint(replica, TABLE.routes[0], Limits(request_timeout_s=0.0001), MediaSources())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.post(PATH, json={"inputs": "a"})
    assert (answer.status_code, answer.json()["error_type"]) == (504, "deadline_exceeded")
