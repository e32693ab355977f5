"""A small model behind OpenAI's routes, without Ray and HTTP."""

import asyncio
from typing import Any

import httpx
import orjson

from deployments.replica.replica import Replica
from serve.config.service import Options
from serve.model.endpoint import build_endpoint
from serve.routes import RouteTable

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def post(replica: Replica, path: str, body: dict[str, Any] | bytes) -> httpx.Response:
    """The answer of the model's own application."""
    route = RouteTable([("small", replica.task_class)]).routes[0]
    app = build_endpoint(replica, route, Options())
    content = body if isinstance(body, bytes) else orjson.dumps({"model": "small"} | body)

    async def answer() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.post(route.path + path, content=content, headers={"content-type": "application/json"})

    return asyncio.run(answer())


def answer(replica: Replica, path: str, **body: Any) -> Any:
    """The answer to a request that succeeds."""
    got = post(replica, path, body)
    assert got.status_code == 200, got.text
    return got.json()


def chunks(replica: Replica, path: str, **body: Any) -> list[Any]:
    """The chunks of a stream, without the last line."""
    got = post(replica, path, body | {"stream": True})
    assert got.status_code == 200, got.text
    lines = [line.removeprefix("data: ") for line in got.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [orjson.loads(line) for line in lines[:-1]]
