"""InProcessReplica: a replica called within its own process."""

from deployments import asgi
from deployments.asgi import ASGIApp
from serve.http.messages import Headers
from serve.routes import Route
from serve.upstream.replicas import Reply, StreamedReply


class InProcessReplica:
    """The replica's endpoint, with the interface by which the gateway reaches replicas.

    Args:
        endpoint: the ASGI application.
    """

    def __init__(self, endpoint: ASGIApp) -> None:
        self._endpoint = endpoint

    async def request(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> Reply:
        """The whole response."""
        return Reply(*await asgi.request(self._endpoint, method, route.path + below, headers, body))

    async def stream(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> StreamedReply:
        """The response as it arrives."""
        response = asgi.stream(self._endpoint, method, route.path + below, headers, body)
        status, answered = await anext(response)
        return StreamedReply(status, answered, response)
