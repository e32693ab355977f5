"""OpenAI's error object, from ours."""

from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from serve.http.messages import Headers

# By our `error_type`; anything else is the service's own fault.
_TYPES = {
    "not_found": "not_found_error",
    "overloaded": "rate_limit_error",
    "internal": "server_error",
    "forward_failed": "server_error",
    "unavailable": "server_error",
    "deadline_exceeded": "server_error",
}


class OpenAIProblem(BaseModel):
    """What was wrong."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(BaseModel):
    """Every error of OpenAI's routes."""

    error: OpenAIProblem


def error_object(body: bytes) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}` from the body of one of our errors."""
    return event_error(orjson.loads(body))


def event_error(said: dict[str, Any]) -> dict[str, Any]:
    """The same from an error that has been read, such as one in the middle of a stream."""
    kind = said["error_type"]
    error = {"message": said["error"], "type": _TYPES.get(kind, "invalid_request_error"), "param": None, "code": kind}
    return {"error": error}


def openai_error(status: int, body: bytes, headers: Headers) -> Response:
    """One of our errors as OpenAI answers."""
    response = Response(orjson.dumps(error_object(body)), status, media_type="application/json")
    response.raw_headers.extend(headers)
    return response
