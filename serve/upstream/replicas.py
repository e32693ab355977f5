"""Replicas: what answers for a model, whether it is reached through Serve or in this process."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from serve.http.messages import Headers
from serve.routes import Route


@dataclass(frozen=True, slots=True)
class Reply:
    """A replica's whole answer."""

    status: int
    headers: Headers
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)

    def header(self, name: bytes) -> str | None:
        """A header's value; `name` in lower case."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class StreamedReply:
    """A replica's answer as it comes; close `pieces` to end the request."""

    status: int
    headers: Headers
    pieces: AsyncGenerator[bytes, None]


class Replicas(Protocol):
    """Whoever can ask the model of a route; `below` is a path below the model's own."""

    async def ask(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> Reply:
        """The whole answer."""

    async def stream(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> StreamedReply:
        """The answer piece by piece."""
