"""The paths below a model's URL, and how the gateway chooses one for a request."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request

from deployments.contract.task import Task

PIPELINE = "/pipeline/"
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
INFO = "/info"
HEALTH = "/health"
TOKENIZE = "/tokenize"
DECODE = "/decode"

_LABELS = re.compile(rb'"candidate(?:_l|L)abels"\s*:')
# The views of a task, and the field that identifies a view's requests; None if only the path can name the view.
VIEWS: Mapping[str, re.Pattern[bytes] | None] = {
    "zero-shot-classification": _LABELS,
    "zero-shot-image-classification": _LABELS,
    "zero-shot-audio-classification": _LABELS,
    "sentence-similarity": re.compile(rb'"source_sentence"\s*:'),
    "visual-question-answering": re.compile(rb'"question"\s*:'),
    "summarization": None,
    "translation": None,
}


BELOW = re.compile(f"(?:{PIPELINE}[^/]+|{CHAT}|{COMPLETIONS}|{INFO}|{HEALTH}|{TOKENIZE}|{DECODE})?")


class BelowModel(Convertor[str]):
    """`{below:below}` after the path of a model: one of the paths above, or nothing."""

    regex = BELOW.pattern

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("below", BelowModel())


def has_view_by_body(kind: type[Task[Any, Any]]) -> bool:
    """Whether the body of a request can choose a view of the task."""
    return any(VIEWS.get(view) is not None for view in kind.aliases)


def below_model(request: Request, kind: type[Task[Any, Any]], body: bytes) -> str:
    """The path below the model's own that answers a request to the gateway.

    Args:
        request: whose path names the model or an alias of its task, and perhaps a path below it.
        kind: the model's task.
        body: of the request. No JSON string can contain a field's name with its quotes and colon.
    """
    below: str = request.path_params["below"]
    if below or request.method != "POST":
        return below
    alias = request.path_params.get("task")
    if alias is not None:
        return PIPELINE + alias if alias in VIEWS else ""
    fields = ((view, VIEWS.get(view)) for view in kind.aliases)
    return next((PIPELINE + view for view, field in fields if field is not None and field.search(body)), "")
