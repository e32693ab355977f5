"""What every protocol needs: find the model, send the task's own request to its replica, read the answer."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from deployments.asgi import ASGIApp
from deployments.errors import InvalidInput
from serve.config.service import BodyLimit
from serve.http.errors import JSONResponse, error_answer, validation_error
from serve.http.messages import Headers, read_body, request_id
from serve.routes import Route, RouteTable
from serve.upstream.in_process import InProcess
from serve.upstream.replicas import Replicas, Reply

JSON = (b"content-type", b"application/json")
# Headers of a model's answer that the protocol's answer has as well; see `serve.http.server_timing.measured`.
ABOUT_THE_ANSWER = (
    b"server-timing",
    b"x-model",
    b"x-batch-size",
    b"x-padding-ratio",
    b"x-prompt-tokens",
    b"x-generated-tokens",
    b"x-truncated-inputs",
    b"retry-after",
)
CARRIED = "carried"  # attribute of a request's state
HANDED_ON = (b"authorization", b"timeout")  # the model asks for the key once more, and keeps the time


Answer = Callable[[Request], Awaitable[Response]]
InForm = Callable[
    [int, bytes, Headers], Response
]  # an answer in a protocol's form, of an error's status, body, headers


class Refused(Exception):
    """A replica answered with an error, which its caller passes on in the protocol's own form."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Caller:
    """Asks models for the protocols.

    Args:
        table: what is served.
        upstream: the replicas.
        body_limit: of a request.
    """

    def __init__(self, table: RouteTable, upstream: Replicas, body_limit: BodyLimit) -> None:
        self._table = table
        self._upstream = upstream
        self._body_limit = body_limit

    async def read(self, request: Request, kind: type[BaseModel]) -> Any:
        """The body, validated.

        Raises:
            ServiceError: too large, not JSON, or not what the protocol says.
        """
        return _validated(await self.read_bytes(request), kind)

    async def read_if_any(self, request: Request, kind: type[BaseModel]) -> Any:
        """The same, where a request without a body is one in which nothing is said.

        Raises:
            ServiceError: as `read`.
        """
        return _validated(await self.read_bytes(request) or b"{}", kind)

    async def read_bytes(self, request: Request) -> bytes:
        """The body as it is.

        Raises:
            TooLarge: over the limit.
        """
        return await read_body(request.scope, request.receive, self._body_limit)

    def named(self, model: str | None, tasks: Sequence[str]) -> Route:
        """The model named, whatever its task; or the first one of the first of these tasks that is served, or of any.

        Raises:
            NotFound: no such model.
        """
        if model is not None:
            return self._table.model(model)
        routes = self._table.routes
        return next((route for task in tasks for route in routes if route.task == task), routes[0])

    def route(self, model: str | None, tasks: Collection[str], what: str) -> Route:
        """The model named, or the first one of these tasks.

        Raises:
            NotFound: no such model.
            InvalidInput: it does another thing; `what` says what was wanted.
        """
        if model is None:
            served = next((route for route in self._table.routes if route.task in tasks), None)
            if served is None:
                raise InvalidInput(f"no model here does {what}")
            return served
        route = self._table.model(model)
        if route.task not in tasks:
            raise InvalidInput(f"model: {model!r} does {route.task}, not {what}")
        return route

    async def ask(self, request: Request, route: Route, body: dict[str, Any], below: str = "") -> Reply:
        """The model's whole answer; `below` is a path below the model's own, such as `/tokenize`.

        Raises:
            InvalidInput: the request cannot be handed on.
            Refused: it is an error.
        """
        reply = await self._upstream.ask(route, "POST", self._headers(request), _written(body), below)
        _carry(request, reply.headers)
        return _good(reply)

    async def describe(self, request: Request, route: Route) -> dict[str, Any]:
        """What a model's replica says of itself.

        Raises:
            Refused: it says nothing.
        """
        reply = _good(await self._upstream.ask(route, "GET", self._headers(request), b""))
        description: dict[str, Any] = reply.json()
        return description

    async def events(
        self, request: Request, route: Route, body: dict[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a stream; one that has `error` is the last.

        Raises:
            InvalidInput: the request cannot be handed on.
            Refused: the answer is an error, before the first event.
        """
        content = _written(body | {"stream": True})
        streamed = await self._upstream.stream(route, "POST", self._headers(request), content)
        _carry(request, streamed.headers)
        async with aclosing(streamed.pieces) as pieces:
            if streamed.status != 200:
                raise Refused(Reply(streamed.status, streamed.headers, b"".join([piece async for piece in pieces])))
            buffer = b""
            async for piece in pieces:
                *lines, buffer = (buffer + piece).split(b"\n\n")
                for line in lines:
                    yield orjson.loads(line.removeprefix(b"data:"))

    def _headers(self, request: Request) -> Headers:
        headers = [JSON, (b"x-request-id", request_id(request.scope).encode())]
        return headers + [(name, value) for name, value in request.headers.raw if name in HANDED_ON]


class ModelCaller(Caller):
    """Asks one model, whatever a request calls it: below a model's URL, the URL has named it.

    Args:
        route: the model's.
        endpoint: its ASGI application.
        body_limit: of a request.
    """

    def __init__(self, route: Route, endpoint: ASGIApp, body_limit: BodyLimit) -> None:
        super().__init__(RouteTable([(route.model, route.kind)]), InProcess(endpoint), body_limit)
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


def _validated(body: bytes, kind: type[BaseModel]) -> BaseModel:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise validation_error(error) from None


def _written(body: dict[str, Any]) -> bytes:
    """A task's request as JSON. What a protocol does not look into may have numbers that are too large for that."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"the body has a value that no model reads: {error}") from None


def _carry(request: Request, headers: Headers) -> None:
    """Keep what a model's answer says of itself, for the answer that is made of it."""
    setattr(request.state, CARRIED, [(name, value) for name, value in headers if name in ABOUT_THE_ANSWER])


def _good(reply: Reply) -> Reply:
    if reply.status != 200:
        raise Refused(reply)
    return reply


def as_json(answer: Callable[[Request], Awaitable[Any]]) -> Answer:
    """The same answer, as JSON."""

    async def answered(request: Request) -> Response:
        return JSONResponse(await answer(request))

    return answered


def with_errors(answer: Answer, in_form: InForm) -> Answer:
    """The same answer, with every error in a protocol's own form, and with what the model's answer said of itself."""

    async def answered(request: Request) -> Response:
        try:
            response = await answer(request)
        except Refused as error:
            response = in_form(error.reply.status, error.reply.body, [])
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception as error:
            response = in_form(*error_answer(error, request_id(request.scope)))
        response.raw_headers.extend(getattr(request.state, CARRIED, ()))
        return response

    return answered
