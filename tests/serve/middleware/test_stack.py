"""What stands around an application: headers are limited, the time is kept, pages let in, slow bodies given up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from deployments.config import ModelConfig
from deployments.registry import find_task
from deployments.replica.replica import Replica
from serve.config.service import Cors, Limits, Options
from serve.http.messages import request_timeout
from serve.middleware.ray_proxy import middlewares
from serve.model.endpoint import build_endpoint
from serve.routes import RouteTable
from tests.checkpoints import small_checkpoint

KIND = find_task("text-classification")
TABLE = RouteTable([("small", KIND)])
PATH = "/tasks/text-classification"
ASKED = {"inputs": "The river rose."}


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Replica:
    folder = small_checkpoint(tmp_path_factory.mktemp("small"), "bert", "SequenceClassification")
    replica = Replica(ModelConfig(model=str(folder), name="small"), KIND)
    replica.load()
    return replica


def client_of(replica: Replica, options: Options) -> httpx.AsyncClient:
    app = build_endpoint(replica, TABLE.routes[0], options)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def client(replica: Replica) -> AsyncIterator[httpx.AsyncClient]:
    limits = Limits(max_header_kb=1, body_timeout_s=0.2)
    options = Options(limits=limits, cors=Cors(allow_origins=("https://app.example",)))
    async with client_of(replica, options) as client:
        yield client


async def test_headers_over_the_limit(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=ASKED, headers={"x-long": "a" * 1024, "x-request-id": "mine"})
    assert (answer.status_code, answer.json()["error_type"]) == (431, "headers_too_large")
    assert "the limit is 1,024" in answer.json()["error"]
    assert answer.json()["request_id"] == "mine"
    many = {f"x-{number}": "" for number in range(200)}
    assert (await client.post(PATH, json=ASKED, headers=many)).status_code == 431
    assert (await client.post(PATH + "?a=" + "a" * 1024, json=ASKED)).status_code == 431
    assert (await client.post(PATH, json=ASKED, headers={"x-long": "a" * 500})).status_code == 200


async def test_a_body_that_does_not_come(client: httpx.AsyncClient, replica: Replica) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b'{"inputs": '
        await asyncio.sleep(5)
        yield b'"a"}'

    answer = await client.post(PATH, content=slow(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error_type"]) == (408, "body_timeout")
    assert answer.json()["error"] == "the body did not arrive within 0.2 s"
    assert replica.in_flight == 0


async def test_a_client_may_shorten_its_time(client: httpx.AsyncClient) -> None:
    assert (await client.post(PATH, json=ASKED, headers={"timeout": "20"})).status_code == 200
    late = await client.post(PATH, json=ASKED, headers={"timeout": "0.000001"})
    assert (late.status_code, late.json()["error_type"]) == (504, "deadline_exceeded")
    for said in ("0", "-1", "soon", "nan", ""):
        refused = await client.post(PATH, json=ASKED, headers={"timeout": said})
        assert (refused.status_code, refused.json()["error_type"]) == (422, "invalid_input")
        assert "timeout: the header should be a number of seconds above 0" in refused.json()["error"]


@pytest.mark.parametrize(("said", "meant"), [("1.5", 1.5), ("100", 60), ("inf", 60), (None, 60)])
def test_no_header_goes_beyond_the_limit(said: str | None, meant: float) -> None:
    headers = [] if said is None else [(b"timeout", said.encode())]
    assert request_timeout({"headers": headers}, 60) == meant


async def test_pages_of_listed_origins_may_ask(client: httpx.AsyncClient) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    allowed = await client.options(PATH, headers={"origin": "https://app.example"} | asks)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert allowed.headers["access-control-max-age"] == "600"
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    answer = await client.post(PATH, json=ASKED, headers={"origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "server-timing" in answer.headers["access-control-expose-headers"]
    elsewhere = {"origin": "https://elsewhere.example"}
    assert (await client.options(PATH, headers=elsewhere | asks)).status_code == 400
    assert "access-control-allow-origin" not in (await client.post(PATH, json=ASKED, headers=elsewhere)).headers


async def test_pages_are_not_let_in_by_default(replica: Replica) -> None:
    async with client_of(replica, Options()) as client:
        answer = await client.post(PATH, json=ASKED, headers={"origin": "https://app.example"})
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers


async def test_rays_own_headers_do_not_reach_it() -> None:
    seen: list[Any] = []

    async def ray(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["headers"])

    layer = middlewares()[0]
    app: Any = layer.cls(ray, *layer.args, **layer.kwargs)
    steering = [
        (b"x-request-timeout-seconds", b"0"),
        (b"x-request-disconnect-disabled", b"?1"),
        (b"x-automodel-refused-before", b"1000"),  # of HAProxy alone, which does not stand here
        (b"x-other", b"1"),
    ]
    await app({"type": "http", "headers": steering}, None, None)
    assert seen == [[(b"timeout", b"0"), (b"x-other", b"1")]]
