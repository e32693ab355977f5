"""Compressed bodies: read on every route of every application, within the limit, refused in the path's format."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from deployments.config import ModelConfig
from deployments.registry import find_task
from deployments.replica.replica import Replica
from serve.config.service import BodyLimit, Limits, Options
from serve.http.errors import error_response
from serve.http.messages import read_body
from serve.middleware.content_encoding import ContentEncodingMiddleware
from serve.model.endpoint import build_endpoint
from serve.routes import RouteTable
from tests.checkpoints import small_checkpoint

LIMIT = 300_000
BODY = bytes(range(256)) * 1000
TABLE = RouteTable([("small", find_task("text-classification"))])


async def echo(scope: Any, receive: Any, send: Any) -> None:
    request = Request(scope)
    try:
        answer = Response(await read_body(scope, receive, BodyLimit(LIMIT, 5)))
    except Exception as error:
        answer = error_response(error, scope)
    answer.headers["x-sent"] = request.headers.get("content-encoding", "none")
    await answer(scope, receive, send)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(ContentEncodingMiddleware(echo, LIMIT))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def post(client: httpx.AsyncClient, content: Any, encoding: str) -> httpx.Response:
    return await client.post("/", content=content, headers={"content-encoding": encoding})


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:999]) + gzip.compress(BODY[999:])),
        ("deflate", zlib.compress(BODY)),
        ("identity", BODY),
        ("", BODY),
    ],
)
async def test_a_body_is_read_as_if_sent_plain(client: httpx.AsyncClient, encoding: str, content: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 700):
            yield content[start : start + 700]

    for sent in (content, pieces()):
        answer = await post(client, sent, encoding)
        assert (answer.status_code, answer.content, answer.headers["x-sent"]) == (200, BODY, "none")


async def test_no_body_is_not_a_damaged_one(client: httpx.AsyncClient) -> None:
    assert (await post(client, b"", "gzip")).status_code == 200


@pytest.mark.parametrize(
    ("encoding", "content", "status", "message"),
    [
        ("gzip", gzip.compress(BODY)[:-9], 400, "the body's gzip data is incomplete"),
        ("gzip", gzip.compress(BODY)[:-1] + b"?", 400, "the body is not gzip: "),
        ("gzip", BODY, 400, "the body is not gzip: "),
        ("gzip", gzip.compress(BODY) + b"more", 400, "the body is not gzip: "),
        ("deflate", zlib.compress(BODY) + b"more", 400, "the body is not deflate: "),
        ("gzip", gzip.compress(bytes(LIMIT + 1)), 413, "the body has more than 300,000 bytes, which is the limit"),
        ("br", b"", 415, "unsupported Content-Encoding br; use gzip, deflate or none"),
        ("zstd", BODY, 415, "unsupported Content-Encoding zstd; use gzip, deflate or none"),
        ("gzip, gzip", BODY, 415, "unsupported Content-Encoding gzip, gzip; use"),
    ],
)
async def test_what_is_wrong_with_a_body(
    client: httpx.AsyncClient, encoding: str, content: bytes, status: int, message: str
) -> None:
    answer = await post(client, content, encoding)
    assert (answer.status_code, answer.json()["error"][: len(message)]) == (status, message)


async def test_a_bomb_takes_no_more_memory_than_the_limit(client: httpx.AsyncClient) -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=9)
    assert len(bomb) < LIMIT
    tracemalloc.start()
    try:
        assert (await post(client, bomb, "gzip")).status_code == 413
        assert tracemalloc.get_traced_memory()[1] < 10 * LIMIT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/tasks/text-classification", "error_type"),
        ("/models/small", "error_type"),
        ("/tasks/text-classification/small/tokenize", "error_type"),
        ("/tasks/text-classification/-/predict", "error_type"),
        ("/tasks/text-classification/-/v2/models/small/infer", "error"),
    ],
)
async def test_every_way_to_a_model_takes_it(small: httpx.AsyncClient, path: str, kept: str) -> None:
    bodies: dict[str, Any] = {
        "infer": {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["The river rose."]}]},
    }
    body = json.dumps(bodies.get(path.rsplit("/", 1)[1], {"inputs": "The river rose."})).encode()
    headers = {"content-type": "application/json"}
    plain = await small.post(path, content=body, headers=headers)
    packed = await small.post(path, content=gzip.compress(body), headers=headers | {"content-encoding": "gzip"})
    assert (plain.status_code, packed.status_code, packed.json()) == (200, 200, plain.json())
    for encoding, status in (("br", 415), ("deflate", 400)):
        refused = await small.post(path, content=gzip.compress(body), headers=headers | {"content-encoding": encoding})
        assert (refused.status_code, kept in refused.json()) == (status, True), refused.text


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Replica:
    folder = small_checkpoint(tmp_path_factory.mktemp("small"), "bert", "SequenceClassification")
    replica = Replica(ModelConfig(model=str(folder), name="small"), find_task("text-classification"))
    replica.load()
    return replica


@pytest.fixture
async def small(replica: Replica) -> AsyncIterator[httpx.AsyncClient]:
    app = build_endpoint(replica, TABLE.routes[0], Options(limits=Limits()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client
