"""A caller of one model, in the process of its own replica."""

from collections.abc import Collection

from deployments import in_process
from deployments.errors import InvalidInput
from deployments.in_process import ASGIApp
from serve.apis.caller import Caller
from serve.messages import BodyLimit, Headers
from serve.routes import Route, RouteTable
from serve.upstream import Reply, StreamedReply


class Local:
    """The replica's endpoint, asked as the gateway asks replicas.

    Args:
        endpoint: the ASGI application.
    """

    def __init__(self, endpoint: ASGIApp) -> None:
        self._endpoint = endpoint

    async def ask(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> Reply:
        """The whole answer."""
        return Reply(*await in_process.ask(self._endpoint, method, route.path + below, headers, body))

    async def stream(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> StreamedReply:
        """The answer as it comes."""
        response = in_process.stream(self._endpoint, method, route.path + below, headers, body)
        status, answered = await anext(response)
        return StreamedReply(status, answered, response)


class ModelCaller(Caller):
    """Asks one model, whatever a request calls it: below a model's URL, the URL has named it.

    Args:
        route: the model's.
        endpoint: its ASGI application.
        body_limit: of a request.
    """

    def __init__(self, route: Route, endpoint: ASGIApp, body_limit: BodyLimit) -> None:
        super().__init__(RouteTable([(route.model, route.kind)]), Local(endpoint), body_limit)
        self._model = route

    def named(self, model: str | None, first_of: Collection[str]) -> Route:
        """The model's route."""
        return self._model

    def route(self, model: str | None, tasks: Collection[str], what: str) -> Route:
        """The model's route.

        Raises:
            InvalidInput: it does another thing.
        """
        if self._model.task not in tasks:
            raise InvalidInput(f"the model {self._model.model!r} does {self._model.task}, not {what}")
        return self._model
