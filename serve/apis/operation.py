"""Operation: one path of a protocol. The gateway's routes and the OpenAPI document are made from these."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette import routing

from serve.apis.model_client import Handler, with_errors
from serve.http.errors import ErrorFormat
from serve.routes import Route, RouteTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One path of a protocol.

    Attributes:
        path: may contain `{model}` and `{version}`.
        summary: for the OpenAPI document.
        request: type of the body; None for GET.
        response: type of a JSON response.
        error: type of an error's body.
        tasks: whose models can answer; empty for any.
        view: a name of the task that only some of its models have, and only those can answer; None for all.
        vectors: kinds of vectors whose models can answer as well.
        is_form: the request is a form, not JSON.
        is_optional: the body may be empty.
        also: content types of responses beside JSON.
    """

    path: str
    summary: str
    request: type[BaseModel] | None = None
    response: Any = dict[str, Any]
    error: Any
    tasks: tuple[str, ...] = ()
    view: str | None = None
    vectors: tuple[str, ...] = ()
    is_form: bool = False
    is_optional: bool = False
    also: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        return "GET" if self.request is None else "POST"

    @property
    def names_model(self) -> bool:
        """Whether it is one model's, which the path or the body's `model` names."""
        return self.request is not None and ("{model}" in self.path or "model" in self.request.model_fields)

    def models(self, table: RouteTable) -> list[Route]:
        """The served models that can answer."""
        return [
            route
            for route in table.routes
            if (not self.tasks or route.task in self.tasks or route.kind.vectors in self.vectors)
            and (self.view is None or self.view in route.kind.aliases)
        ]


def build_routes(
    operations: Iterable[Operation], handlers: Mapping[str, Handler], error_format: ErrorFormat
) -> list[routing.Route]:
    """A Starlette route for each operation, with the handler of its path and errors in the protocol's format."""
    return [
        routing.Route(each.path, with_errors(handlers[each.path], error_format), methods=[each.method])
        for each in operations
    ]
