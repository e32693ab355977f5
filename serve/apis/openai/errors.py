"""OpenAI's error object."""

from typing import Any

from pydantic import BaseModel

from serve.http.errors import ErrorFormat

# By the service's `error_type`; all others are `invalid_request_error`.
_TYPES = {
    "not_found": "not_found_error",
    "overloaded": "rate_limit_error",
    "internal": "server_error",
    "forward_failed": "server_error",
    "unavailable": "server_error",
    "deadline_exceeded": "server_error",
}


class OpenAIProblem(BaseModel):
    """The error."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(BaseModel):
    """The body of every error of OpenAI's routes."""

    error: OpenAIProblem


def _openai(content: dict[str, Any]) -> dict[str, Any]:
    kind = content["error_type"]
    return {
        "error": {
            "message": content["error"],
            "type": _TYPES.get(kind, "invalid_request_error"),
            "param": None,
            "code": kind,
        }
    }


openai_error = ErrorFormat(_openai, {"context_length_exceeded": 400})
"""The service's error object as OpenAI's, for responses and for events of a stream."""
