"""ServeReplicas: the replicas behind the gateway, reached through Serve's handles as if directly."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray import serve
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from deployments.batching.drain_rate import DrainRate
from deployments.errors import DeadlineExceeded, Overloaded, ServiceError, Unavailable
from serve.http.messages import Headers, request_timeout
from serve.routes import Route
from serve.upstream.replicas import Reply, StreamedReply

MARGIN_S = 1.0  # in which a replica can report a timeout itself


class ServeReplicas:
    """Sends requests to the replicas of a route. Cancelling the caller cancels the request.

    Args:
        require_replica: called before a request is sent. Raises `Unavailable` if the model has no replica and will not
            get one for the request's sake.
        timeout_s: for a response, or for the first chunk of a stream. The replica keeps to it, too, but only from the
            moment at which it has the request, which may wait here while there is no replica.
    """

    def __init__(self, require_replica: Callable[[Route], Awaitable[None]], timeout_s: float) -> None:
        self._require_replica = require_replica
        self._timeout_s = timeout_s
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._queues: defaultdict[str, DrainRate] = defaultdict(DrainRate)  # this gateway's open requests, by model

    async def request(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> Reply:
        """The whole response; `below` is a path below the model's own.

        Raises:
            Overloaded: too many requests wait here for a replica.
            Unavailable: the same, and no replica has ever answered; or the model is loading.
            DeadlineExceeded: no replica answered in time.
        """
        await self._require_replica(route)
        queue, is_answered = self._queues[route.model], False
        deadline = self._deadline(headers)
        queue.enter()
        response = self._handle(route).forward.remote(method, route.path + below, list(headers), body)
        try:
            with self._errors(route, response):
                async with deadline:
                    reply = Reply(*await response)
            is_answered = reply.status != Overloaded.status
            return reply
        finally:
            queue.leave(done=is_answered)

    async def stream(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> StreamedReply:
        """The response chunk by chunk. It costs more, so only for requests that may want a stream.

        Raises:
            ServiceError: as `request`.
        """
        await self._require_replica(route)
        deadline = self._deadline(headers)
        handle = self._handle(route).options(stream=True)
        response = handle.forward_stream.remote(method, route.path + below, list(headers), body)
        with self._errors(route, response):
            async with deadline:
                status, response_headers = await anext(response)

        async def chunks() -> AsyncGenerator[bytes, None]:
            try:
                async for chunk in response:
                    yield chunk
            finally:
                response.cancel()  # without effect if it has ended; otherwise the client has disconnected

        return StreamedReply(status, response_headers, chunks())

    def _deadline(self, headers: Headers) -> asyncio.Timeout:
        return asyncio.timeout(request_timeout({"headers": headers}, self._timeout_s) + MARGIN_S)

    def _handle(self, route: Route) -> "DeploymentHandle[Any]":
        if route.model not in self._handles:
            self._handles[route.model] = serve.get_app_handle(route.model)
        return self._handles[route.model]

    @contextmanager
    def _errors(self, route: Route, response: Any) -> Iterator[None]:
        """Cancel the request if it is given up, and translate Ray's errors."""
        try:
            yield
        except asyncio.CancelledError:
            response.cancel()
            raise
        except TimeoutError as error:
            response.cancel()
            message = f"no replica of {route.model} answered within the request's timeout"
            raise DeadlineExceeded(message) from error
        except BackPressureError as error:
            raise _overloaded(route, self._queues[route.model]) from error


def _overloaded(route: Route, queue: DrainRate) -> ServiceError:
    if queue.per_second is None:
        return Unavailable(f"{route.model} has no replica that accepts requests now", retry_after=5)
    message = f"{route.model} has {queue.in_progress:.0f} requests waiting; retry later"
    return Overloaded(message, retry_after=queue.retry_after())
