"""A replica that is asked in its own process."""

from deployments import asgi
from deployments.asgi import ASGIApp
from serve.http.messages import Headers
from serve.routes import Route
from serve.upstream.replicas import Reply, StreamedReply


class InProcess:
    """The replica's endpoint, asked as the gateway asks replicas.

    Args:
        endpoint: the ASGI application.
    """

    def __init__(self, endpoint: ASGIApp) -> None:
        self._endpoint = endpoint

    async def ask(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> Reply:
        """The whole answer."""
        return Reply(*await asgi.request(self._endpoint, method, route.path + below, headers, body))

    async def stream(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> StreamedReply:
        """The answer as it comes."""
        response = asgi.stream(self._endpoint, method, route.path + below, headers, body)
        status, answered = await anext(response)
        return StreamedReply(status, answered, response)
