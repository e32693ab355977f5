"""Replicas: the interface to the replicas of all models, through Serve or within this process."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from serve.http.messages import Headers
from serve.routes import Route


@dataclass(frozen=True, slots=True)
class Reply:
    """A replica's whole response."""

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
    """A replica's response as it arrives; close `chunks` to cancel the request."""

    status: int
    headers: Headers
    chunks: AsyncGenerator[bytes, None]


class Replicas(Protocol):
    """Sends requests to the model of a route; `below` is a path below the model's own, such as `/tokenize`."""

    async def request(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> Reply:
        """The whole response."""

    async def stream(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> StreamedReply:
        """The response chunk by chunk."""
