"""While a replica is full, requests go past Ray to a refusal; all others go through Ray."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.batching.drain_rate import DrainRate
from deployments.config import ModelConfig
from deployments.registry import find_task
from deployments.replica.replica import Replica
from serve.cluster.haproxy_overload import FULL
from serve.config.service import Auth, Options
from serve.middleware.api_keys import entry_of, new_key
from serve.middleware.load_shedding import LoadSheddingMiddleware
from serve.model.endpoint import build_endpoint
from serve.routes import RouteTable
from tests.checkpoints import small_checkpoint

KIND = find_task("text-classification")
ROUTE = RouteTable([("small", KIND)]).routes[0]
PATH = "/tasks/text-classification"
ASKED = {"inputs": "The river rose."}


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Replica:
    folder = small_checkpoint(tmp_path_factory.mktemp("small"), "bert", "SequenceClassification")
    replica = Replica(ModelConfig(model=str(folder), name="small"), KIND)
    replica.load()
    return replica


@pytest.fixture
def through_ray() -> list[str]:
    return []


@pytest.fixture
async def client(replica: Replica, through_ray: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    application = build_endpoint(replica, ROUTE, Options())

    async def ray(scope: Any, receive: Any, send: Any) -> None:
        through_ray.append(scope["path"])
        await application(scope, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(LoadSheddingMiddleware(ray)), base_url="http://test"
    ) as client:
        yield client


async def test_what_is_answered_goes_through_ray(client: httpx.AsyncClient, through_ray: list[str]) -> None:
    assert (await client.post(PATH, json=ASKED)).status_code == 200
    assert through_ray == [PATH]


async def test_what_is_refused_does_not(
    client: httpx.AsyncClient, through_ray: list[str], replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "places", replica.limits.max_waiting)
    refused = await client.post(PATH, json=ASKED, headers={"x-request-id": "mine"})
    assert (refused.status_code, refused.json()["error_type"]) == (429, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-model"] == "small"
    assert refused.json()["request_id"] == "mine"
    assert through_ray == []


async def test_who_has_no_key_is_told_so_although_the_model_is_full(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "places", replica.limits.max_waiting)
    key, keys = new_key(), tmp_path / "keys.yaml"
    keys.write_text("keys:\n" + entry_of("team", key) + "\n")
    application = build_endpoint(replica, ROUTE, Options(auth=Auth(api_keys_file=str(keys))))
    transport = httpx.ASGITransport(LoadSheddingMiddleware(application))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.post(PATH, json=ASKED)).status_code == 401
        known = {"authorization": f"Bearer {key}"}
        assert (await client.post(PATH, json=ASKED, headers=known)).status_code == 429


async def test_only_requests_to_the_model_itself_do_not(
    client: httpx.AsyncClient, through_ray: list[str], replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read before it is refused may be taken after all by then, and Ray has to know of it."""
    monkeypatch.setattr(replica, "places", replica.limits.max_waiting)
    assert (await client.get(PATH)).status_code == 200
    assert (await client.post(PATH, json=ASKED, headers={"timeout": "soon"})).status_code == 422
    view = await client.post(f"{PATH}/pipeline/zero-shot-classification", json=ASKED)
    assert view.status_code in (422, 429)
    assert through_ray == [PATH, PATH, f"{PATH}/pipeline/zero-shot-classification"]


async def test_a_request_with_enough_time_is_not_refused(
    client: httpx.AsyncClient, through_ray: list[str], replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long the line is matters to those alone whose time would be over before their turn."""
    monkeypatch.setattr(replica, "in_flight", 1000)
    monkeypatch.setattr(DrainRate, "seconds_for", lambda self, ahead: 20.0)
    assert (await client.post(PATH, json=ASKED, headers={"timeout": "10"})).status_code == 429
    assert through_ray == []
    assert (await client.post(PATH, json=ASKED, headers={"timeout": "30"})).status_code == 200
    assert through_ray == [PATH]


@pytest.mark.parametrize(("line_s", "is_full"), [(90.0, True), (20.0, False)])
async def test_that_it_is_full_is_said_where_nobody_is_let_in(
    client: httpx.AsyncClient, replica: Replica, monkeypatch: pytest.MonkeyPatch, line_s: float, is_full: bool
) -> None:
    """Not where this one has less time than others may have."""
    monkeypatch.setattr(replica, "in_flight", 1000)
    monkeypatch.setattr(DrainRate, "seconds_for", lambda self, ahead: line_s)
    refused = await client.post(PATH, json=ASKED, headers={"timeout": "10"})
    assert refused.status_code == 429
    assert (FULL in refused.headers) == is_full


@pytest.mark.parametrize(("line_s", "is_full"), [(None, False), (0.9, False), (1.1, True)])
async def test_a_line_that_might_run_empty_meanwhile_is_not_full(
    client: httpx.AsyncClient, replica: Replica, monkeypatch: pytest.MonkeyPatch, line_s: float | None, is_full: bool
) -> None:
    monkeypatch.setattr(replica, "places", replica.limits.max_waiting)
    monkeypatch.setattr(DrainRate, "seconds_for", lambda self, ahead: line_s)
    refused = await client.post(PATH, json=ASKED)
    assert refused.status_code == 429
    assert (FULL in refused.headers) == is_full
