"""The Open Inference Protocol in memory: replicas that give canned answers, and remember what they were asked."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import orjson

from deployments.registry import KINDS
from deployments.text.two_towers import TwoTowers
from serve.apis.model_client import ModelClient
from serve.apis.open_inference.inference import OpenInference
from serve.cluster.states import ModelState
from serve.config.service import Limits
from serve.http.messages import Headers
from serve.routes import Route, RouteTable
from serve.upstream.replicas import Reply, StreamedReply

LIMITS = Limits(max_body_mb=0.25)
TABLE = RouteTable(
    [(f"{kind.name}-{kind.medium}" + ("-text" if issubclass(kind, TwoTowers) else ""), kind) for kind in KINDS]
)
READY, LOADING = ModelState("ready", "", 1), ModelState("loading", "weights", 0)


@dataclass
class Replicas:
    """Whoever is asked.

    Attributes:
        answer: to every request.
        status: of it.
        headers: of it.
        events: of a stream.
        wait_s: before an answer.
        bodies: what was asked, in order.
        sent: the headers of each.
        asked: set once there was a request.
        cancelled: set once one was ended before it had its answer.
    """

    answer: Any = None
    status: int = 200
    headers: Headers = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    wait_s: float = 0.0
    bodies: list[Any] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> Reply:
        if method == "GET":
            return Reply(200, [], orjson.dumps({"example": route.kind.example}))
        self.sent.append({name.decode(): value.decode() for name, value in headers})
        self.bodies.append(orjson.loads(body))
        self.asked.set()
        try:
            await asyncio.sleep(self.wait_s)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return Reply(self.status, self.headers, orjson.dumps(self.answer))

    async def stream(self, route: Route, method: str, headers: Headers, body: bytes) -> StreamedReply:
        self.bodies.append(orjson.loads(body))

        async def pieces() -> AsyncGenerator[bytes, None]:
            for event in self.events:
                yield b"data:" + orjson.dumps(event) + b"\n\n"

        return StreamedReply(200, [], pieces())


class Service:
    """The protocol over some replicas; every model is ready but the last."""

    def __init__(self) -> None:
        self.replicas = Replicas()
        self.client = ModelClient(TABLE, self.replicas, LIMITS.body)
        self.inference = OpenInference(self.client, TABLE, self._states)

    async def _states(self) -> dict[str, ModelState]:
        names = [route.model for route in TABLE.routes]
        return dict.fromkeys(names, READY) | {names[-1]: LOADING}
