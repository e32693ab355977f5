"""The gateway by itself, without Ray."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from deployments.errors import DeadlineExceeded
from deployments.registry import find_task
from serve.cluster.states import ModelState
from serve.config.service import ServiceConfig
from serve.gateway.app import Gateway
from serve.gateway.current_states import CurrentStates
from serve.routes import RouteTable
from serve.upstream.serve_handle import ServeReplicas


async def test_a_new_gateway_has_looked_at_the_models_before_it_is_asked() -> None:
    """A model counts as ready a while after it was first seen: at the first question that would be too late."""
    table = RouteTable([("judge", find_task("text-classification"))])
    gateway = Gateway(table, ServiceConfig(models=[{"model": "embedded:prompt-injection", "name": "judge"}]))  # type: ignore[list-item]
    looked = []

    class Reader:
        def read(self) -> dict[str, ModelState]:
            looked.append("judge")
            return {"judge": ModelState("ready", "", 1)}

    gateway._states = CurrentStates(Reader())
    application = gateway.__serve_build_asgi_app__()
    async with application.router.lifespan_context(application):
        assert looked == ["judge"]


@pytest.mark.parametrize(
    ("state", "min_replicas", "refused"),
    [
        (ModelState("loading", "", 0), 1, True),
        (ModelState("loading", "", 0), 0, False),  # the request waits for the cold start
        (ModelState("idle", "", 0), 0, False),
        (ModelState("warming", "", 0), 1, False),
        (ModelState("warming", "", 1), 1, False),
        (ModelState("ready", "", 1), 1, False),
    ],
)
@pytest.mark.parametrize(
    "path", ["/tasks/text-classification/judge", "/models/judge/tokenize", "/predict", "/v1/rerank"]
)
async def test_a_model_that_is_loading_is_503_at_once(
    monkeypatch: pytest.MonkeyPatch, path: str, state: ModelState, min_replicas: int, refused: bool
) -> None:
    table = RouteTable([("judge", find_task("text-classification"))])
    model = {"model": "embedded:prompt-injection", "name": "judge", "replicas": {"min": min_replicas, "max": 1}}
    gateway = Gateway(table, ServiceConfig(models=[model]))  # type: ignore[list-item]

    class Reader:
        def read(self) -> dict[str, ModelState]:
            return {"judge": state}

    async def reached(*_: Any) -> Any:
        raise DeadlineExceeded("sent to a replica")

    gateway._states = CurrentStates(Reader())
    monkeypatch.setattr(ServeReplicas, "_handle", lambda *_: SimpleNamespace(forward=SimpleNamespace(remote=reached)))
    transport = httpx.ASGITransport(gateway.__serve_build_asgi_app__())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(path, json={"inputs": "a", "query": "a", "documents": ["b"], "model": "judge"})
    if refused:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert f'"judge has no replica yet ({state.state}); retry later"' in answer.text
    else:
        assert answer.status_code == 504
        assert '"sent to a replica"' in answer.text


UNSERVED = "./broken: pointers of git-lfs in place of model.safetensors"


@pytest.fixture
async def beside_broken_ones() -> AsyncIterator[httpx.AsyncClient]:
    """A service of which one model is ready, one fails to load, and one was left out for its files."""
    kind = find_task("text-classification")
    table = RouteTable([("judge", kind), ("failing", kind)], unserved={"broken": UNSERVED})
    models = [{"model": "embedded:prompt-injection", "name": name} for name in ("judge", "failing")]
    gateway = Gateway(table, ServiceConfig(models=models))  # type: ignore[arg-type]

    class Reader:
        def read(self) -> dict[str, ModelState]:
            return {"judge": ModelState("ready", "", 1), "failing": ModelState("failed", "out of memory", 0)}

    gateway._states = CurrentStates(Reader())
    transport = httpx.ASGITransport(gateway.__serve_build_asgi_app__())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_models_that_are_not_served_are_told_with_the_reason(beside_broken_ones: httpx.AsyncClient) -> None:
    answer = await beside_broken_ones.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "failed")
    assert answer.json()["models"] == {
        "judge": {"state": "ready", "replicas": 1},
        "failing": {"state": "failed", "replicas": 0, "reason": "out of memory"},
        "broken": {"state": "failed", "replicas": 0, "reason": UNSERVED},
    }


@pytest.mark.parametrize(("model", "reason"), [("broken", UNSERVED), ("failing", "out of memory")])
@pytest.mark.parametrize("path", ["/models/{model}", "/v1/rerank", "/tasks/text-classification/{model}"])
async def test_a_request_for_a_model_that_failed_is_told_why(
    beside_broken_ones: httpx.AsyncClient, path: str, model: str, reason: str
) -> None:
    body = {"inputs": "a", "query": "a", "documents": ["b"], "model": model}
    answer = await beside_broken_ones.post(path.format(model=model), json=body)
    assert answer.status_code == 503
    assert f"{model} cannot be served: {reason}" in answer.text
    assert "retry-after" not in answer.headers
