"""Upstream: the replicas behind the gateway, asked as if directly, through Serve's handles."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ray import serve
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from deployments.batching.drain_rate import DrainRate
from deployments.errors import DeadlineExceeded, Overloaded, ServiceError, Unavailable
from serve.http.messages import timeout_of
from serve.routes import Route
from serve.upstream.replicas import Reply, StreamedReply

MARGIN_S = 1.0  # that a replica has to say itself that the time is over


class Upstream:
    """Asks the replica of a route. A caller that is cancelled ends what it asked for.

    Args:
        timeout_s: for an answer, or for the beginning of a stream. The replica keeps it, but its time begins when it
            has the request, which may wait here while there is no replica.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._lines: defaultdict[str, DrainRate] = defaultdict(DrainRate)  # what this gateway has under way, by model

    async def ask(
        self, route: Route, method: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, below: str = ""
    ) -> Reply:
        """The whole answer; `below` is a path below the model's own.

        Raises:
            Overloaded: too many requests wait here for a replica that takes them.
            Unavailable: so they do, and none was ever answered.
            DeadlineExceeded: none took this one in its time.
        """
        line, answered = self._lines[route.model], False
        time_left = self._time_for(headers)
        line.enter()
        response = self._handle(route).forward.remote(method, route.path + below, list(headers), body)
        try:
            async with time_left:
                reply = Reply(*await response)
            answered = reply.status != Overloaded.status
            return reply
        except asyncio.CancelledError:
            response.cancel()
            raise
        except TimeoutError as error:
            response.cancel()
            raise _late(route) from error
        except BackPressureError as error:
            raise _full(route, line) from error
        finally:
            line.leave(done=answered)

    async def stream(
        self, route: Route, method: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, below: str = ""
    ) -> StreamedReply:
        """The answer piece by piece; costs more, so only for requests that may want a stream.

        Raises:
            Overloaded: too many requests wait here for a replica that takes them.
            Unavailable: so they do, and none was ever answered.
            DeadlineExceeded: none took this one in its time.
        """
        time_left = self._time_for(headers)
        handle = self._handle(route).options(stream=True)
        response = handle.forward_stream.remote(method, route.path + below, list(headers), body)
        try:
            async with time_left:
                status, answered = await anext(response)
        except BackPressureError as error:
            raise _full(route, self._lines[route.model]) from error
        except asyncio.CancelledError:
            response.cancel()
            raise
        except TimeoutError as error:
            response.cancel()
            raise _late(route) from error

        async def pieces() -> AsyncGenerator[bytes, None]:
            try:
                async for piece in response:
                    yield piece
            finally:
                response.cancel()  # nothing, once it has ended; else the client has gone

        return StreamedReply(status, answered, pieces())

    def _time_for(self, headers: Sequence[tuple[bytes, bytes]]) -> asyncio.Timeout:
        return asyncio.timeout(timeout_of({"headers": headers}, self._timeout_s) + MARGIN_S)

    def _handle(self, route: Route) -> "DeploymentHandle[Any]":
        if route.model not in self._handles:
            self._handles[route.model] = serve.get_app_handle(route.model)
        return self._handles[route.model]


def _late(route: Route) -> DeadlineExceeded:
    return DeadlineExceeded(f"no replica of {route.model} answered within the request's time")


def _full(route: Route, line: DrainRate) -> ServiceError:
    if line.per_second is None:
        return Unavailable(f"{route.model} has no replica that takes requests now", retry_after=5)
    return Overloaded(
        f"{route.model} has {line.in_progress:.0f} requests waiting; try again later", retry_after=line.retry_after()
    )
