"""What HAProxy reroutes to a replica: answered there as by the gateway, on the same path."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from deployments.config import ModelConfig
from deployments.registry import task_of
from deployments.replica.replica import Replica
from serve.apis.model_client import ModelClient
from serve.apis.open_inference.inference import OpenInference
from serve.apis.protocols import protocol_routes
from serve.cluster.haproxy import REROUTED
from serve.config.service import Auth, Options
from serve.middleware.api_keys import entry_of, new_key
from serve.middleware.load_shedding import LoadSheddingMiddleware
from serve.middleware.stack import WrappedApp
from serve.model.endpoint import build_endpoint
from serve.proxy.path_table import path_table
from serve.routes import Route, RouteTable
from serve.upstream.in_process import InProcessReplica
from tests.checkpoints import small_checkpoint
from tests.nli_checkpoint import nli_checkpoint
from tests.writing_checkpoints import writing_checkpoint

TEXT = "The river rose."
TENSOR = {"name": "inputs", "datatype": "BYTES", "shape": [1], "data": [TEXT]}


class Served:
    """A model's application, and the protocols' routes as the gateway has them."""

    def __init__(self, folder: Path, name: str) -> None:
        made = {"nli": nli_checkpoint, "llama": lambda folder: writing_checkpoint(folder, "llama", chat=True)}
        path = made.get(name, lambda folder: small_checkpoint(folder, "bert", ""))(folder / name)
        pooling = {"pooling": {"mode": "mean"}} if name == "vectors" else {}
        config = ModelConfig.model_validate({"model": str(path), "name": name, "device": "cpu", **pooling})
        self.replica = Replica(config, task_of(config))
        self.replica.load()
        self.route = RouteTable([(name, task_of(config))]).routes[0]

    def app(self, options: Options | None = None) -> WrappedApp:
        return build_endpoint(self.replica, self.route, options or Options())

    def gateway(self) -> Starlette:
        limits = Options().limits
        table = RouteTable([(self.route.model, self.route.kind)])
        client = ModelClient(table, InProcessReplica(self.app()), limits.body)
        return Starlette(routes=list(protocol_routes(client, OpenInference(client, table, no_states), limits)))


async def no_states() -> dict[str, Any]:
    return {}


@pytest.fixture(scope="module", params=["vectors", "nli", "llama"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    served = Served(tmp_path_factory.mktemp("served"), request.param)
    yield served
    served.replica.stop()


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def replica(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(served.app()) as client:
        yield client


@pytest.fixture
async def gateway(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(served.gateway()) as client:
        yield client


def rerouted(route: Route, path: str) -> str:
    return route.prefix + REROUTED + path


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/embeddings", {"input": [TEXT, "b"]}),
    ("/v1/embeddings", {"input": TEXT, "encoding_format": "base64"}),
    ("/v1/embeddings", {"input": 3}),
    ("/embeddings", {"input": TEXT}),
    ("/embed", {"inputs": TEXT}),
    ("/embed_all", {"inputs": TEXT}),
    ("/embed_sparse", {"inputs": TEXT}),
    ("/similarity", {"inputs": {"source_sentence": TEXT, "sentences": ["b"]}}),
    ("/predict", {"inputs": TEXT}),
    ("/rerank", {"query": TEXT, "texts": ["a", "b"]}),
    ("/v1/rerank", {"query": TEXT, "documents": ["a", "b"]}),
    ("/v2/rerank", {"query": TEXT, "documents": ["a", "b"]}),
    ("/tokenize", {"inputs": TEXT}),
    ("/decode", {"ids": [1, 2]}),
    ("/v1/completions", {"prompt": TEXT, "max_tokens": 3, "temperature": 0}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": TEXT}], "max_tokens": 3, "temperature": 0}),
    ("/v2/models/{model}/infer", {"inputs": [TENSOR]}),
    ("/v2/models/{model}/versions/1/infer", {"inputs": [TENSOR]}),
    ("/v2/models/{model}/generate", {"text_input": TEXT, "parameters": {"max_tokens": 3, "temperature": 0}}),
]


@pytest.mark.parametrize(("path", "body"), REQUESTS)
@pytest.mark.parametrize("named", [True, False])
async def test_the_replica_answers_as_the_gateway(
    served: Served,
    replica: httpx.AsyncClient,
    gateway: httpx.AsyncClient,
    path: str,
    body: dict[str, Any],
    named: bool,
) -> None:
    """Errors as well: each model is asked for what other tasks do."""
    path = path.format(model=served.route.model)
    if named and "/v2/models" not in path:
        body = body | {"model": served.route.model}
    one = await replica.post(rerouted(served.route, path), json=body, headers={"x-request-id": "mine"})
    other = await gateway.post(path, json=body, headers={"x-request-id": "mine"})
    expected, got = other.json(), one.json()
    if other.status_code != 200 and not named:  # "no served model does …": the gateway has them all
        assert one.status_code == other.status_code
        return
    for each in (expected, got):
        if isinstance(each, dict):
            each.pop("created", None)
            each.pop("id", None)
    assert (one.status_code, got) == (other.status_code, expected)
    assert one.headers["x-model"] == served.route.model
    if one.status_code == 200 and path != "/tokenize":
        assert "server-timing" in one.headers


def test_every_path_that_haproxy_reroutes_is_asked_here() -> None:
    table = path_table()
    streams_and_versions = {path for path in table.by_path if path.endswith("_stream") or "versions/1/gen" in path}
    rerouted = {*table.by_body} | {path for path in table.by_path if path.startswith("/v2")} - streams_and_versions
    assert rerouted == {path for path, _ in REQUESTS}


async def test_another_model_is_not_mistaken_for_this_one(served: Served, replica: httpx.AsyncClient) -> None:
    """Should HAProxy ever take a body for one without a model."""
    answer = await replica.post(rerouted(served.route, "/v1/embeddings"), json={"model": "another", "input": TEXT})
    assert answer.status_code == 404
    assert "another" in answer.json()["error"]["message"]


@pytest.mark.parametrize("served", ["llama"], indirect=True)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize("stream", [False, True])
async def test_no_token_at_all(served: Served, replica: httpx.AsyncClient, path: str, stream: bool) -> None:
    body = {"prompt": TEXT} if path == "/v1/completions" else {"messages": [{"role": "user", "content": TEXT}]}
    asked = {"model": "llama", "max_tokens": 0, "stream": stream, "stream_options": {"include_usage": True}}
    answer = await replica.post(rerouted(served.route, path), json=body | asked)
    assert answer.status_code == 200, answer.text
    events = [orjson.loads(line[5:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    first, last = (events[0], events[-1]) if stream else (answer.json(), answer.json())
    (choice,) = first["choices"]
    written = choice.get("text", (choice.get("message") or choice.get("delta") or {}).get("content"))
    assert (written, choice["finish_reason"]) == ("", "length")
    assert last["usage"]["completion_tokens"] == 0 < last["usage"]["prompt_tokens"]


@pytest.mark.parametrize("served", ["llama"], indirect=True)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_without_a_limit_fills_the_context(
    served: Served, replica: httpx.AsyncClient, stream: bool
) -> None:
    usage = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    body = {"model": "llama", "messages": [{"role": "user", "content": TEXT}], "temperature": 0} | usage
    answer = await replica.post(rerouted(served.route, "/v1/chat/completions"), json=body)
    assert answer.status_code == 200, answer.text
    events = [orjson.loads(line[5:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    told, used = (events[-2], events[-1]["usage"]) if stream else (answer.json(), answer.json()["usage"])
    assert told["choices"][0]["finish_reason"] == "length"
    assert used["total_tokens"] == served.replica.task.max_positions == 256


@pytest.mark.parametrize("served", ["llama"], indirect=True)
async def test_too_long_a_prompt(served: Served, replica: httpx.AsyncClient) -> None:
    """Clients know it by status, code and words."""
    body = {"model": "llama", "prompt": TEXT, "max_tokens": 100_000}
    answer = await replica.post(rerouted(served.route, "/v1/completions"), json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert answer.json()["error"]["message"].startswith("this model's maximum context length is ")


async def test_fields_that_nobody_knows_are_named(served: Served, replica: httpx.AsyncClient) -> None:
    answer = await replica.post(rerouted(served.route, "/tokenize"), json={"inputs": TEXT, "novel": 1, "user": "a"})
    assert answer.status_code == 200
    assert answer.headers["x-ignored-fields"] == "novel"


@pytest.mark.parametrize("served", ["nli"], indirect=True)
async def test_rerank_with_documents(served: Served, replica: httpx.AsyncClient) -> None:
    """As of Cohere's, Jina's and vLLM's clients: objects, fields to rank, cut documents."""

    async def ask(path: str, **body: Any) -> httpx.Response:
        return await replica.post(rerouted(served.route, path), json={"query": TEXT} | body)

    several = await ask("/rerank", documents=["a", "b"])
    assert several.status_code == 422  # this model has three classes
    assert "single score" in several.json()["error"]
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        missing = await ask(path, documents=[{"title": "a"}])
        assert "none of the fields text" in missing.json()["error"]


@pytest.mark.parametrize(
    ("served", "start"),
    [
        (name, start)
        for name in ("vectors", "nli")
        for start in ("/models/{model}", "/tasks/{alias}/{model}", "/tasks/{alias}")
    ]
    + [("llama", "/models/{model}")],  # a task without aliases
    indirect=["served"],
)
async def test_other_names_of_the_model(served: Served, replica: httpx.AsyncClient, start: str) -> None:
    alias = next(iter(served.route.kind.aliases), None)
    path = start.format(model=served.route.model, alias=alias)
    example = served.route.kind.example
    named = await replica.post(rerouted(served.route, path), json=example)
    own = await replica.post(
        served.route.path + ("/pipeline/" + str(alias) if alias == "zero-shot-classification" else ""), json=example
    )
    assert named.status_code == own.status_code
    if own.status_code == 200 and served.route.task != "text-generation":  # which draws its tokens
        assert named.json() == own.json()


async def test_the_tasks_own_pipeline(served: Served, replica: httpx.AsyncClient) -> None:
    path = f"/models/{served.route.model}/pipeline/{served.route.task}"
    named = await replica.post(rerouted(served.route, path), json=served.route.kind.example)
    own = await replica.post(served.route.path, json=served.route.kind.example)
    assert named.status_code == own.status_code == 200
    if served.route.task != "text-generation":  # which draws its tokens
        assert named.json() == own.json()


@pytest.mark.parametrize("served", ["vectors", "nli"], indirect=True)
async def test_the_body_chooses_a_view(served: Served, replica: httpx.AsyncClient) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "feature-extraction": {"inputs": {"source_sentence": TEXT, "sentences": ["a", TEXT]}},
        "text-classification": {"inputs": TEXT, "parameters": {"candidate_labels": ["a", "b"]}},
    }
    body = bodies[served.route.task]
    answer = await replica.post(rerouted(served.route, f"/models/{served.route.model}"), json=body)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()) == 2


async def test_middleware_sees_the_original_path(served: Served, tmp_path: Path) -> None:
    """A key is asked for, and the error is the protocol's."""
    key, keys = new_key(), tmp_path / "keys.yaml"
    keys.write_text("keys:\n" + entry_of("team", key) + "\n")
    async with client_of(served.app(Options(auth=Auth(api_keys_file=str(keys))))) as client:
        path = rerouted(served.route, "/v1/embeddings")
        refused = await client.post(path, json={"input": TEXT})
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "unauthenticated"
        allowed = await client.post(path, json={"input": TEXT}, headers={"authorization": f"Bearer {key}"})
        assert allowed.status_code in (200, 422)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/chat/completions", lambda body: body["error"]["type"] == "rate_limit_error"),
        ("/embed", lambda body: body["error_type"] == "overloaded"),
        ("/v2/models/{model}/infer", lambda body: list(body) == ["error"]),
        ("/models/{model}", lambda body: body["error_type"] == "overloaded" and body["request_id"]),
    ],
)
async def test_a_full_replica_refuses_before_ray(
    served: Served, monkeypatch: pytest.MonkeyPatch, path: str, expected: Any
) -> None:
    monkeypatch.setattr(served.replica, "places", served.replica.limits.max_waiting)
    served.app()  # installs itself

    async def ray(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the request went through Ray")

    async with client_of(LoadSheddingMiddleware(ray)) as client:
        asked = rerouted(served.route, path.format(model=served.route.model))
        answer = await client.post(asked, json={"inputs": TEXT})
    assert answer.status_code == 429
    assert expected(answer.json()), answer.text
    assert int(answer.headers["retry-after"]) >= 1
