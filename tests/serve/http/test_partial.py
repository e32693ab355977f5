"""Client batches that are answered in part: what is wrong with an input stands in its place."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from deployments.config import ModelConfig
from deployments.registry import TASKS, find_task
from deployments.replica.limits import ReplicaLimits
from deployments.replica.replica import Replica
from serve.config.service import Limits, MediaSources
from serve.http.fetch import Fetcher
from serve.model.endpoint import Endpoint
from serve.routes import RouteTable
from tests.checkpoints import small_checkpoint

KIND = find_task("text-classification")
TABLE = RouteTable([("small", KIND)])
PATH = "/tasks/text-classification"
LONG = "long " * 500
TEXTS = ["The river rose.", "Never again!", "Who wrote the letter?"]


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Replica:
    folder = small_checkpoint(tmp_path_factory.mktemp("small"), "bert", "SequenceClassification")
    limits = ReplicaLimits(max_input_tokens=600)
    replica = Replica(ModelConfig(model=str(folder), name="small"), KIND, limits=limits)
    replica.load()
    return replica


@pytest.fixture
async def client(replica: Replica) -> AsyncIterator[httpx.AsyncClient]:
    app = Endpoint(replica, TABLE.routes[0], Limits(), MediaSources())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def alone(client: httpx.AsyncClient, text: Any) -> Any:
    return (await client.post(PATH, json={"inputs": text})).json()[0]


def refusal(answer: Any) -> tuple[int, str]:
    return answer["status"], answer["error_type"]


async def test_every_input_has_its_answer_or_its_error(client: httpx.AsyncClient) -> None:
    inputs = [TEXTS[0], " ", {"text": TEXTS[1], "text_pare": "x"}, 7, TEXTS[2], LONG]
    body = {"inputs": inputs, "parameters": {"truncate": False}, "partial": True}
    answers = (await client.post(PATH, json=body)).json()
    assert len(answers) == len(inputs)
    for place in (0, 4):
        assert [label["score"] for label in answers[place]] == pytest.approx(
            [label["score"] for label in await alone(client, inputs[place])], abs=1e-5
        )
    assert [refusal(answers[place]) for place in (1, 2, 3, 5)] == [(422, "invalid_input")] * 4
    assert answers[1]["error"].startswith("inputs is empty")
    assert answers[2]["error"] == "inputs.text_pare: unknown field"
    assert answers[3]["error"].startswith("inputs: should be a valid string")
    assert "the model reads at most 128" in answers[5]["error"]


async def test_without_it_the_first_bad_input_fails_the_request(client: httpx.AsyncClient) -> None:
    refused = await client.post(PATH, json={"inputs": [*TEXTS, "", "  "]})
    assert (refused.status_code, refused.json()["error"].split(":")[0]) == (422, "inputs[3]")
    one = await client.post(PATH, json={"inputs": "", "partial": True})
    assert one.status_code == 422


async def test_an_input_on_which_the_model_fails(
    client: httpx.AsyncClient, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replica.task
    assert task is not None
    poison = task.preprocess(KIND.request(inputs=TEXTS[1])).rows[0].inputs["input_ids"]
    forward = task.forward

    def failing(rows: Sequence[Any], params: Any) -> Any:
        if any(row.inputs["input_ids"] == poison for row in rows):
            raise ZeroDivisionError
        return forward(rows, params)

    monkeypatch.setattr(replica._scheduler, "_forward", failing)
    answers = (await client.post(PATH, json={"inputs": TEXTS, "partial": True})).json()
    assert refusal(answers[1]) == (500, "forward_failed")
    assert answers[0] == await alone(client, TEXTS[0])
    assert (await client.post(PATH, json={"inputs": TEXTS})).status_code == 500


async def test_none_is_good(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"inputs": ["", " "], "partial": True})
    assert answer.status_code == 200
    assert [refusal(item) for item in answer.json()] == [(422, "invalid_input")] * 2
    # What cannot be read at all, or with parameters that are none, is no batch.
    for body in ({"inputs": [1, 2], "partial": True}, {"inputs": TEXTS, "partial": True, "parameters": {"top_q": 1}}):
        assert (await client.post(PATH, json=body)).status_code == 422
    assert (await client.post(PATH, json={"inputs": [], "partial": True})).json()["error"] == "inputs is an empty list"


async def test_tokens_of_a_request_are_limited(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"inputs": [LONG] * 4})
    assert answer.status_code == 200
    for partial in (False, True):
        refused = await client.post(PATH, json={"inputs": [LONG] * 5, "partial": partial})
        assert (refused.status_code, refused.json()["error_type"]) == (413, "too_large")
        assert "the limit of one request is 600 (`limits.max_input_tokens`)" in refused.json()["error"]


async def test_a_url_that_is_not_fetched_spoils_its_input_alone() -> None:
    kind = TASKS["image-classification"].request
    request = kind(inputs=["AAAA", "http://elsewhere/x.png"], partial=True)
    got = await Fetcher((), 10, 1.0).fetched(request)
    assert got.inputs[0].data == b"\0\0\0"
    assert "URLs of elsewhere are not fetched" in got.inputs[1].message
