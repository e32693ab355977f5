"""`automodel-serve up` with the embedded models, used as a new user would: one request after another, and many."""

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from deployments.registry import TASKS
from deployments.zoo.embedded import DEFAULT
from serve.cluster.haproxy_overload import FULL
from tests.embedded_service import MAX_WAITING
from tests.service.running import RunningService

pytestmark = pytest.mark.ray


def ask(client: httpx.Client, path: str, body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_one_forward_answers_needs_no_torch(client: httpx.Client, service: RunningService) -> None:
    """Such replicas run builds, and have not even mapped torch's libraries; a decoder's has torch for its sampler."""
    models = client.get("/v1/models").json()["data"]
    described = {model["id"]: client.get(f"/models/{model['id']}").json() for model in models}
    backends = {name: about["backend"] for name, about in described.items()}
    generating = {"whisper-tiny-en", "digit-strips", "glosses", "pronunciation"}
    encoding = generating - {"glosses"}
    assert backends == {name: "torch" if name in encoding else "openvino" for name in DEFAULT}
    assert all(about["backend_difference"] < 1e-4 for name, about in described.items() if name not in encoding)
    assert {described[name]["backend_reason"] for name in encoding} == {"only decoders of text are exported"}
    assert described["glosses"]["generation"]["block_tokens"] == 32
    for name in DEFAULT:
        for process in service.replicas(name):
            libraries = {Path(each.path).name.split(".")[0] for each in process.memory_maps()}
            assert ("libtorch_cpu" in libraries) == (name in generating), name


def test_embeddings_of_like_texts_lie_close(client: httpx.Client) -> None:
    texts = ["A man plays a guitar.", "Somebody makes music on a string instrument.", "The stock market fell today."]
    vectors = np.array(ask(client, "/tasks/feature-extraction", {"inputs": texts}))
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]


def test_text_classification(client: httpx.Client) -> None:
    answer = ask(client, "/tasks/text-classification", TASKS["text-classification"].example)
    assert answer[0][0]["label"] == "INJECTION"
    assert answer[0][0]["score"] > 0.9


def test_token_classification(client: httpx.Client) -> None:
    text = "I'm Maria Gonzalez, call me on (415) 555-0182."
    entities = ask(client, "/tasks/token-classification", {"inputs": text})
    found = {entity["entity_group"]: text[entity["start"] : entity["end"]] for entity in entities}
    assert found["GIVEN_NAME"] == "Maria"
    assert found["SURNAME"] == "Gonzalez"
    assert "555-0182" in found["PHONE"]


def test_question_answering(client: httpx.Client) -> None:
    context = "Maria Smith was born in Lisbon. She works as a baker."
    answer = ask(
        client, "/tasks/question-answering", {"inputs": {"question": "Where was Maria Smith born?", "context": context}}
    )
    assert answer["answer"] == "Lisbon" == context[answer["start"] : answer["end"]]


def test_fill_mask(client: httpx.Client) -> None:
    text = "The doctor prescribed a new [MASK] for the infection."
    answer = ask(client, "/tasks/fill-mask", {"inputs": text, "parameters": {"top_k": 3}})
    assert answer[0]["token_str"] == "treatment"
    assert len(answer) == 3


def test_multiple_choice(client: httpx.Client) -> None:
    inputs = {"prompt": "a vehicle with four wheels driven on roads", "choices": ["banana", "car", "river", "sadness"]}
    answer = ask(client, "/tasks/multiple-choice", {"inputs": inputs})
    assert (answer[0]["choice"], answer[0]["index"]) == ("car", 1)
    assert sum(choice["score"] for choice in answer) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", list(DEFAULT))
def test_every_way_to_a_model_gives_the_same_answer(client: httpx.Client, name: str) -> None:
    task = TASKS[DEFAULT[name].task]
    ways = [f"/tasks/{task.name}", f"/tasks/{task.name}/{name}", f"/models/{name}"]
    ways += [f"/tasks/{alias}" for alias in task.aliases if name == _first_of(alias) and alias not in VIEWS]
    answers = [client.post(way, json=task.example) for way in ways]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    for answer in answers:
        assert answer.headers["x-model"] == name
        assert {"x-request-id", "server-timing", "x-batch-size", "x-padding-ratio"} <= answer.headers.keys()
        assert len(answer.headers.get_list("x-request-id")) == 1


# Other shapes over the same models, with tests of their own.
VIEWS = "zero-shot-classification sentence-similarity visual-question-answering summarization translation".split()


def _first_of(alias: str) -> str:
    """The model that an alias means: of several tasks, the first that is served."""
    return next(model.name for model in DEFAULT.values() if alias in TASKS[model.task].aliases)


def test_what_runs_here(client: httpx.Client) -> None:
    listed = client.get("/v1/models").json()
    assert [(entry["id"], entry["task"]) for entry in listed["data"]] == [(e.name, e.task) for e in DEFAULT.values()]
    assert client.get("/v1/models/minilm").json()["object"] == "model"
    assert [entry["model"] for entry in client.get("/").json()["models"]] == list(DEFAULT)
    ready = client.get("/health/ready").json()
    assert ready["status"] == "ready"
    assert all(model == {"state": "ready", "replicas": 1} for model in ready["models"].values())
    assert client.get("/health/live").status_code == 200
    assert "/docs/static/swagger-ui-bundle.js" in client.get("/docs").text
    assert client.get("/docs/static/swagger-ui-bundle.js").status_code == 200
    assert f"/tasks/{DEFAULT['pii'].task}" in client.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/tasks/fill-masks", 404, "did you mean 'fill-mask'?"),
        ("POST", "/tasks/fill-mask/bert-tin", 404, "did you mean 'bert-tiny'?"),
        ("POST", "/models/minilmm", 404, "did you mean 'minilm'?"),
        ("GET", "/v1/models/minilmm", 404, "did you mean 'minilm'?"),
        ("GET", "/nowhere", 404, "no path '/nowhere'"),
        ("PUT", "/v1/models", 405, "PUT"),
        ("DELETE", "/tasks/fill-mask", 405, "DELETE"),
    ],
)
def test_what_is_not_there(client: httpx.Client, method: str, path: str, status: int, message: str) -> None:
    answer = client.request(method, path, headers={"x-request-id": "asked"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert answer.headers["x-request-id"] == "asked"
    if path.startswith("/v1/"):  # OpenAI's object
        assert message in error["message"]
    else:
        assert message in error
        assert answer.json()["request_id"] == "asked"
    assert "total;dur=" in answer.headers["server-timing"]


def test_a_body_cut_short_harms_nobody(service: RunningService, client: httpx.Client) -> None:
    for path in ("/tasks/feature-extraction", "/models/minilm"):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
            connection.sendall(head.encode() + b'{"inputs": "abc')
    assert client.post("/tasks/feature-extraction", json={"inputs": "a"}).status_code == 200


def test_clients_that_leave_are_dropped_from_the_line(service: RunningService, client: httpx.Client) -> None:
    body = b'{"inputs": "' + b"word " * 240 + b'"}'
    head = (
        "POST /tasks/feature-extraction HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connections = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(100)]
    for connection in connections:
        connection.sendall(head.encode() + body)
    time.sleep(0.2)
    for connection in connections:
        connection.close()
    # Those that were let in would take four seconds or more on one core; one that stays must not wait for them. For a
    # moment their places may still be taken.
    began = time.monotonic()
    while (answer := client.post("/tasks/feature-extraction", json={"inputs": "a"})).status_code == 429:
        assert time.monotonic() - began < 3
        time.sleep(0.05)
    assert answer.status_code == 200
    assert time.monotonic() - began < 3


async def test_two_hundred_requests_of_all_tasks_with_bad_ones_among_them(service: RunningService) -> None:
    paths = [f"/tasks/{model.task}" for model in DEFAULT.values()]
    examples = [TASKS[model.task].example for model in DEFAULT.values()]
    async with httpx.AsyncClient(base_url=service.url, timeout=60, limits=httpx.Limits(max_connections=200)) as client:
        alone = [(await client.post(path, json=body)).json() for path, body in zip(paths, examples, strict=True)]

        async def ask(number: int) -> bool:
            which = number % len(paths)
            if number % 7 == 0:
                return (await client.post(paths[which], json={"inputs": ""})).status_code == 422
            answer = await client.post(paths[which], json=examples[which])
            return answer.status_code == 200 and _close(answer.json(), alone[which])

        assert all(await asyncio.gather(*(ask(number) for number in range(200))))


async def test_ten_times_too_much_is_refused_not_lost(service: RunningService) -> None:
    """Many more at once than may wait: that many are answered, the rest is told when to come again."""
    text = {"inputs": "word " * 200}
    requests = 10 * MAX_WAITING
    limits = httpx.Limits(max_connections=requests)
    async with httpx.AsyncClient(base_url=service.url, timeout=120, limits=limits) as client:
        answers = await asyncio.gather(
            *(client.post("/tasks/token-classification", json=text) for _ in range(requests))
        )
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 429}, statuses
        assert statuses.count(200) >= MAX_WAITING
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert (await client.post("/tasks/token-classification", json=text)).status_code == 200


def test_the_gateway_is_small_and_holds_no_torch(service: RunningService) -> None:
    (gateway,) = service.replicas("gateway")
    assert gateway.memory_info().rss < 220e6
    assert not [m.path for m in gateway.memory_maps() if "libtorch" in m.path]


def test_the_front_is_haproxy(service: RunningService) -> None:
    alive = [process for process in service.processes() if process.status() != psutil.STATUS_ZOMBIE]
    fronts = [process for process in alive if process.name() == "haproxy"]  # old ones stay while they have connections
    arguments = max(fronts, key=lambda process: process.create_time()).cmdline()
    configuration = Path(arguments[arguments.index("-f") + 1]).read_text()
    assert configuration.count(f"http-response del-header {FULL}") == len(DEFAULT), "each model may be refused for"


def _close(a: Any, b: Any) -> bool:
    """Equal, numbers within 1e-4."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(_close(x, y) for x, y in zip(a, b, strict=True))
    return abs(a - b) < 1e-4 if isinstance(a, float) else bool(a == b)
