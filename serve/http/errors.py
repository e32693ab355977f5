"""Exceptions to answers, in one place: `{"error", "error_type", "request_id"}`, never a stack trace."""

import logging
from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette import responses

from deployments.errors import InvalidInput, MalformedRequest, ServiceError
from serve.http.messages import Headers

logger = logging.getLogger(__name__)

_BUILTINS = {"str", "int", "float", "bool", "list", "dict", "none", "nullable"}
_MOST = 5  # problems that one message names


class ErrorAnswer(BaseModel):
    """Every error, whatever its status."""

    error: str
    error_type: str
    request_id: str


def error_answer(error: BaseException, request_id: str) -> tuple[int, bytes, Headers]:
    """Status, body and headers for any exception. What is not a `ServiceError` is logged and answered as internal."""
    if not isinstance(error, ServiceError):
        logger.error("request %s failed", request_id, exc_info=error)
        error = ServiceError("an internal error; the service's log has the details under this request id")
    body = orjson.dumps({"error": error.message, "error_type": error.error_type, "request_id": request_id})
    retry = error.retry_after
    return error.status, body, [] if retry is None else [(b"retry-after", str(retry).encode())]


def validation_error(error: ValidationError) -> ServiceError:
    """What is wrong with a body: 400 where it is not JSON, 422 where it is not the JSON of this task."""
    problems = error.errors(include_url=False, include_input=False)
    for problem in problems:
        if problem["type"] == "json_invalid":
            if "recursion limit" in problem["msg"]:
                return MalformedRequest("the body is JSON that is nested too deeply")
            return MalformedRequest(f"the body is not JSON: {problem.get('ctx', {}).get('error', problem['msg'])}")
    by_place: dict[str, list[Any]] = {}
    for problem in _of_best_branch(problems):
        by_place.setdefault(_place(problem["loc"]), []).append(problem)
    sentences = [f"{place}: {_either(problems)}" for place, problems in by_place.items()]
    more = f" (and {len(sentences) - _MOST} more)" if len(sentences) > _MOST else ""
    return InvalidInput("; ".join(sentences[:_MOST]) + more)


def _either(problems: Sequence[Any]) -> str:
    """`should be a valid string or a valid array`: what each branch of a union would have taken.

    Where a branch took the type and found something else wrong, the others' types are not what the caller meant.
    """
    meant = [problem for problem in problems if not problem["type"].endswith("_type")]
    first, *others = dict.fromkeys(_message(problem) for problem in meant or problems)
    return " or ".join([first, *(message.removeprefix("should be ") for message in others)])


def _of_best_branch(problems: Sequence[Any]) -> list[Any]:
    """Of a union's branches, those that fit deepest: `[{"text": 1}]` is wrong in `text`, not for being no string."""
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


def _place(loc: Sequence[Any]) -> str:
    place = ""
    for part in _fields(loc):
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    return place or "body"


def _message(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown field"
    if problem["type"] == "missing":
        return "is missing"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return str(message[0].lower() + message[1:])


class JSONResponse(responses.JSONResponse):
    """An answer in JSON; keys that are no strings are written as such, as Starlette's does."""

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
