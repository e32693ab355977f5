"""A loaded model that answers requests as a replica does, without Ray: by itself, or through its HTTP application."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson

from deployments.config import ModelConfig
from deployments.registry import task_of
from deployments.replica.replica import Replica
from serve.config.service import Limits, MediaSources
from serve.model.app import ModelApp
from serve.model.endpoint import Endpoint
from serve.routes import RouteTable
from tests.waiting import PATIENCE_S


def replica_of(folder: Path, **config: Any) -> Replica:
    """A replica with the model of a folder loaded, as the task that its files mean."""
    settings = ModelConfig.model_validate({"model": str(folder), "name": "small", "device": "cpu", **config})
    replica = Replica(settings, task_of(settings))
    replica.load()
    return replica


def answers(replica: Replica, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """The answers to requests that are all under way at once; what went wrong in place of an answer."""

    async def all_of_them() -> list[Any]:
        asked = [replica.predict(_read(replica, request), _dump, PATIENCE_S) for request in requests]
        return await asyncio.gather(*asked, return_exceptions=True)

    got = asyncio.run(all_of_them())
    return [each if isinstance(each, BaseException) else orjson.loads(each.body) for each in got]


def answers_over_http(replica: Replica, bodies: Sequence[dict[str, Any]]) -> list[Any]:
    """The JSON of requests that its HTTP application gets at once; each must succeed."""
    (route,) = RouteTable([(replica.config.name, replica.task_class)]).routes
    limits = Limits(request_timeout_s=PATIENCE_S)
    application = ModelApp(Endpoint(replica, route, limits, MediaSources()), replica, route, limits)

    async def all_of_them() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as client:
            return await asyncio.gather(*(client.post(route.path, json=body, timeout=None) for body in bodies))

    responses = asyncio.run(all_of_them())
    assert [each.status_code for each in responses] == [200] * len(bodies), responses[-1].text
    return [each.json() for each in responses]


def answer(replica: Replica, **request: Any) -> Any:
    """The answer to one request alone."""
    (got,) = answers(replica, [request])
    if isinstance(got, BaseException):
        raise got
    return got


def events(replica: Replica, **request: Any) -> list[dict[str, Any]]:
    """The events of one request."""

    async def all_of_them() -> list[dict[str, Any]]:
        return [event async for event in replica.stream(_read(replica, request | {"stream": True}), PATIENCE_S)]

    return asyncio.run(all_of_them())


def _dump(answer: Any) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _read(replica: Replica, request: dict[str, Any]) -> Any:
    return replica.task_class.request.model_validate(request)
