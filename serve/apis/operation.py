"""Operation: one way into a protocol. The gateway's routes and the OpenAPI document are made from these."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette import routing

from serve.apis.caller import Answer, InForm, with_errors
from serve.routes import Route, RouteTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a path of a protocol does.

    Attributes:
        path: may name a `{model}`, and its `{version}`.
        summary: of what it does.
        request: type of the body; None where it has none, and is asked with GET.
        response: type of an answer in JSON.
        error: type of an error's body.
        tasks: whose models can answer; none for any.
        is_form: the request comes as a form, not as JSON.
        is_optional: an empty body is one, too.
        also: content types of answers beside JSON.
    """

    path: str
    summary: str
    request: type[BaseModel] | None = None
    response: Any = dict[str, Any]
    error: Any
    tasks: tuple[str, ...] = ()
    is_form: bool = False
    is_optional: bool = False
    also: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        return "get" if self.request is None else "post"

    def models(self, table: RouteTable) -> list[Route]:
        """The served models that can answer."""
        return [route for route in table.routes if not self.tasks or route.task in self.tasks]


def routes_of(operations: Iterable[Operation], answers: Mapping[str, Answer], in_form: InForm) -> list[routing.Route]:
    """A route for each operation, answered by what stands under its path, with errors in the protocol's own form."""
    return [
        routing.Route(each.path, with_errors(answers[each.path], in_form), methods=[each.verb.upper()])
        for each in operations
    ]
