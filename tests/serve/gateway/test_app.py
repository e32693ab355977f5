"""The gateway by itself, without Ray."""

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
        (ModelState("failed", "no such file", 0), 1, True),
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
