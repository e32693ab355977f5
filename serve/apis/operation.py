"""Operation: one way into a protocol, as the OpenAPI document tells of it."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

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
