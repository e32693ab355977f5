"""Exceptions to error responses: `{"error", "error_type", "request_id"}`, never a stack trace.

Other protocols pass an `ErrorFormat`, which turns this object into their own.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette import responses

from deployments.errors import InvalidInput, MalformedRequest, ServiceError
from serve.http.messages import Headers, Scope, Send, request_id, send_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ErrorFormat:
    """How a protocol reports an error. Called with the service's error object; returns the protocol's.

    Attributes:
        render: makes it.
        statuses: the protocol's status for an `error_type`, where it is not the service's.
    """

    render: Callable[[dict[str, Any]], Any]
    statuses: Mapping[str, int] = field(default_factory=dict)

    def __call__(self, content: dict[str, Any]) -> Any:
        return self.render(content)

    def status(self, content: dict[str, Any], status: int) -> int:
        """The protocol's status, given the service's error object and status."""
        return self.statuses.get(content.get("error_type", ""), status)


native_format = ErrorFormat(lambda content: content)
ERROR_FORMAT = "automodel.error_format"  # key in the scope of a request: the format of its path's protocol

_BUILTINS = {"str", "int", "float", "bool", "list", "dict", "none", "nullable"}
_MAX_PROBLEMS = 5  # that one message names


class ErrorAnswer(BaseModel):
    """The body of every error, whatever its status."""

    error: str
    error_type: str
    request_id: str


class JSONResponse(responses.JSONResponse):
    """A JSON response. Keys that are not strings become strings, as with Starlette's own."""

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)


def error_content(error: BaseException, request_id: str) -> tuple[int, dict[str, Any], Headers]:
    """Status, JSON object and headers for any exception. One that is no `ServiceError` is logged as internal."""
    if not isinstance(error, ServiceError):
        logger.error("request %s failed", request_id, exc_info=error)
        error = ServiceError("internal error; the service's log has the details under this request id")
    content = {"error": error.message, "error_type": error.error_type, "request_id": request_id}
    retry = error.retry_after
    return error.status, content, [] if retry is None else [(b"retry-after", str(retry).encode())]


def error_response(error: BaseException, scope: Scope, error_format: ErrorFormat | None = None) -> responses.Response:
    """The response for any exception; in the format of the request's path, unless another is given."""
    status, content, headers = error_content(error, request_id(scope))
    error_format = error_format or _format_of(scope)
    response = JSONResponse(error_format(content), error_format.status(content, status))
    response.raw_headers.extend(headers)
    return response


async def send_error(scope: Scope, send: Send, error: BaseException, headers: Headers | None = None) -> None:
    """Send the response for any exception in the format of the request's path, for ASGI code below Starlette."""
    status, content, own = error_content(error, request_id(scope))
    error_format = _format_of(scope)
    body = orjson.dumps(error_format(content))
    await send_json(send, error_format.status(content, status), body, (headers or []) + own)


def _format_of(scope: Scope) -> ErrorFormat:
    error_format: ErrorFormat = scope.get(ERROR_FORMAT, native_format)
    return error_format


def validation_error(error: ValidationError) -> ServiceError:
    """What is wrong with a body: 400 if it is not JSON, 422 if it is JSON that does not fit the schema."""
    problems = error.errors(include_url=False, include_input=False)
    for problem in problems:
        if problem["type"] == "json_invalid":
            if "recursion limit" in problem["msg"]:
                return MalformedRequest("the body is JSON that is nested too deeply")
            return MalformedRequest(f"the body is not JSON: {problem.get('ctx', {}).get('error', problem['msg'])}")
    by_path: dict[str, list[Any]] = {}
    for problem in _of_best_branch(problems):
        by_path.setdefault(_path(problem["loc"]), []).append(problem)
    sentences = [f"{path}: {_alternatives(problems)}" for path, problems in by_path.items()]
    more = f" (and {len(sentences) - _MAX_PROBLEMS} more)" if len(sentences) > _MAX_PROBLEMS else ""
    return InvalidInput("; ".join(sentences[:_MAX_PROBLEMS]) + more)


def _alternatives(problems: Sequence[Any]) -> str:
    """`should be a valid string or a valid array`: what each branch of a union accepts.

    If one branch accepted the type and failed on something else, the other branches' types are not what the caller
    meant, and are left out.
    """
    meant = [problem for problem in problems if not problem["type"].endswith("_type")]
    first, *others = dict.fromkeys(_message(problem) for problem in meant or problems)
    return " or ".join([first, *(message.removeprefix("should be ") for message in others)])


def _of_best_branch(problems: Sequence[Any]) -> list[Any]:
    """The problems of the union branches that match deepest: `[{"text": 1}]` is wrong in `text`, not for its type."""
    deepest: dict[str, int] = {}
    for problem in problems:
        top = str(problem["loc"][:1])
        deepest[top] = max(deepest.get(top, 0), len(_fields(problem["loc"])))
    return [problem for problem in problems if len(_fields(problem["loc"])) == deepest[str(problem["loc"][:1])]]


def _fields(loc: Sequence[Any]) -> list[Any]:
    """A location without pydantic's names for the branches of a union."""
    return [part for part in loc if isinstance(part, int) or not _is_branch(part)]


def _is_branch(part: str) -> bool:
    return part in _BUILTINS or "[" in part or part[:1].isupper()


def _path(loc: Sequence[Any]) -> str:
    path = ""
    for part in _fields(loc):
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "body"


def _message(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown field"
    if problem["type"] == "missing":
        return "is missing"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return str(message[0].lower() + message[1:])
