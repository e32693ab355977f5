"""ModelClient: what every protocol needs to find a model, send the task's own request and read the response."""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from deployments.asgi import ASGIApp
from deployments.errors import InvalidInput
from serve.apis.client_request import ClientRequest, ignored_headers, take_ignored
from serve.config.service import BodyLimit
from serve.http.errors import ErrorFormat, JSONResponse, error_response, validation_error
from serve.http.messages import Headers, read_body, request_id
from serve.routes import Route, RouteTable
from serve.upstream.in_process import InProcessReplica
from serve.upstream.replicas import Replicas, Reply

JSON = (b"content-type", b"application/json")
# Headers that a protocol's response takes over from the model's; see `serve.http.server_timing.answer_headers`.
ANSWER_HEADERS = (
    b"server-timing",
    b"x-model",
    b"x-batch-size",
    b"x-padding-ratio",
    b"x-prompt-tokens",
    b"x-generated-tokens",
    b"x-truncated-inputs",
    b"retry-after",
)
FORWARDED = (b"authorization", b"timeout")  # request headers: the model checks the key again, and keeps to the timeout
STATE_KEY = "answer_headers"  # attributes of a request's state
IGNORED_KEY = "ignored_fields"

Handler = Callable[[Request], Awaitable[Response]]


def _no_other(route: Route) -> bool:
    return False


class ReplicaError(Exception):
    """A replica answered with an error, which is passed on in the protocol's own format."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class ModelClient:
    """Sends requests to models on behalf of the protocols.

    Args:
        table: the served models.
        replicas: of all models.
        body_limit: of a request.
    """

    def __init__(self, table: RouteTable, replicas: Replicas, body_limit: BodyLimit) -> None:
        self._table = table
        self._replicas = replicas
        self._body_limit = body_limit

    async def read(self, request: Request, kind: type[BaseModel], body: bytes | None = None) -> Any:
        """The body, validated; `body` if it has been read.

        Raises:
            ServiceError: the body is too large, not JSON, or does not match the protocol.
        """
        payload = _validate(await self.read_bytes(request) if body is None else body, kind)
        if isinstance(payload, ClientRequest):
            setattr(request.state, IGNORED_KEY, ignored_headers(type(payload), take_ignored(payload)))
        return payload

    async def read_optional(self, request: Request, kind: type[BaseModel]) -> Any:
        """The same; an empty body counts as an empty object.

        Raises:
            ServiceError: as `read`.
        """
        return _validate(await self.read_bytes(request) or b"{}", kind)

    async def read_bytes(self, request: Request) -> bytes:
        """The body as it is.

        Raises:
            TooLarge: over the limit.
        """
        return await read_body(request.scope, request.receive, self._body_limit)

    def any_route(self, model: str | None, tasks: Sequence[str]) -> Route:
        """The model named, whatever its task; else the first model of the first served task among these; else any.

        Raises:
            NotFound: no such model.
        """
        if model is not None:
            return self._table.model(model)
        routes = self._table.routes
        return next((route for task in tasks for route in routes if route.task == task), routes[0])

    def route(
        self, model: str | None, tasks: Collection[str], purpose: str, also: Callable[[Route], bool] = _no_other
    ) -> Route:
        """The model named, or the first one of these tasks; `also` says which others can answer, where there is none.

        Raises:
            NotFound: no such model.
            InvalidInput: the model has another task; `purpose` describes these tasks.
        """
        if model is None:
            able = [route for route in self._table.routes if route.task in tasks or also(route)]
            if not able:
                raise InvalidInput(f"no served model does {purpose}")
            return next((route for route in able if route.task in tasks), able[0])
        route = self._table.model(model)
        if route.task not in tasks and not also(route):
            raise InvalidInput(f"model: {model!r} does {route.task}, not {purpose}")
        return route

    async def post(self, request: Request, route: Route, body: dict[str, Any], below: str = "") -> Reply:
        """The model's whole response; `below` is a path below the model's own, such as `/tokenize`.

        Raises:
            InvalidInput: the request cannot be written as JSON.
            ReplicaError: the response is an error.
        """
        reply = await self._replicas.request(route, "POST", self._headers(request), _dump(body), below)
        _keep_answer_headers(request, reply.headers)
        return _require_ok(reply)

    async def describe(self, request: Request, route: Route) -> dict[str, Any]:
        """A replica's description of its model.

        Raises:
            ReplicaError: the response is an error.
        """
        reply = _require_ok(await self._replicas.request(route, "GET", self._headers(request), b""))
        description: dict[str, Any] = reply.json()
        return description

    async def stream(
        self, request: Request, route: Route, body: dict[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a stream; one that has `error` is the last.

        Raises:
            InvalidInput: the request cannot be written as JSON.
            ReplicaError: the response is an error, before the first event.
        """
        content = _dump(body | {"stream": True})
        streamed = await self._replicas.stream(route, "POST", self._headers(request), content)
        _keep_answer_headers(request, streamed.headers)
        async with aclosing(streamed.chunks) as chunks:
            if streamed.status != 200:
                error = b"".join([chunk async for chunk in chunks])
                raise ReplicaError(Reply(streamed.status, streamed.headers, error))
            buffer = b""
            async for chunk in chunks:
                *lines, buffer = (buffer + chunk).split(b"\n\n")
                for line in lines:
                    yield orjson.loads(line.removeprefix(b"data:"))

    def _headers(self, request: Request) -> Headers:
        headers = [JSON, (b"x-request-id", request_id(request.scope).encode())]
        return headers + [(name, value) for name, value in request.headers.raw if name in FORWARDED]


class SingleModelClient(ModelClient):
    """Sends every request to one model, whatever model it names: below a model's URL, the URL has named it.

    Args:
        route: the model's.
        endpoint: its ASGI application.
        body_limit: of a request.
    """

    def __init__(self, route: Route, endpoint: ASGIApp, body_limit: BodyLimit) -> None:
        super().__init__(RouteTable([(route.model, route.kind)]), InProcessReplica(endpoint), body_limit)
        self._route = route

    def any_route(self, model: str | None, tasks: Sequence[str]) -> Route:
        """The model's route."""
        return self._route

    def route(
        self, model: str | None, tasks: Collection[str], purpose: str, also: Callable[[Route], bool] = _no_other
    ) -> Route:
        """The model's route.

        Raises:
            InvalidInput: the model has another task.
        """
        if self._route.task not in tasks and not also(self._route):
            raise InvalidInput(f"the model {self._route.model!r} does {self._route.task}, not {purpose}")
        return self._route


def _validate(body: bytes, kind: type[BaseModel]) -> BaseModel:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise validation_error(error) from None


def _dump(body: dict[str, Any]) -> bytes:
    """A task's request as JSON. Values that a protocol does not validate may be numbers that JSON has not."""
    _require_finite(body.get("parameters"), "parameters")  # others are written as null, which asks for nothing
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"the body has a value that cannot be passed on: {error}") from None


def _require_finite(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for name, each in value.items():
            _require_finite(each, f"{path}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _require_finite(each, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(f"{path}: should be a finite number")


def _keep_answer_headers(request: Request, headers: Headers) -> None:
    setattr(request.state, STATE_KEY, [(name, value) for name, value in headers if name in ANSWER_HEADERS])


def _require_ok(reply: Reply) -> Reply:
    if reply.status != 200:
        raise ReplicaError(reply)
    return reply


def as_json(handler: Callable[[Request], Awaitable[Any]]) -> Handler:
    """A handler whose result is the response's JSON."""

    async def json_handler(request: Request) -> Response:
        return JSONResponse(await handler(request))

    return json_handler


def with_errors(handler: Handler, error_format: ErrorFormat) -> Handler:
    """A handler that answers every error in a protocol's format, and takes over the headers of the model's answer."""

    async def safe_handler(request: Request) -> Response:
        try:
            response = await handler(request)
        except ReplicaError as error:
            content = error.reply.json()
            response = JSONResponse(error_format(content), error_format.status(content, error.reply.status))
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception as error:
            response = error_response(error, request.scope, error_format)
        for key in (STATE_KEY, IGNORED_KEY):
            response.raw_headers.extend(getattr(request.state, key, ()))
        return response

    return safe_handler
