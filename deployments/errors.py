"""The error tree. Each class carries the HTTP status that `serve.http.errors` answers with.

ServiceError                 500  internal
├── MalformedRequest         400  malformed_request     the body is not what its content type says
├── Unauthenticated          401  unauthenticated       no API key, or an unknown one
├── Forbidden                403  forbidden             the API key does not allow this
├── NotFound                 404  not_found             no such model, task or path
├── MethodNotAllowed         405  method_not_allowed
├── BodyTimeout              408  body_timeout          the body did not arrive in time
├── TooLarge                 413  too_large             over a limit on size or count
├── UnsupportedMedia         415  unsupported_media     a content type or format that the task does not support
├── InvalidInput             422  invalid_input         well-formed, but not a valid input of the task
├── Overloaded               429  overloaded            the queue is full
├── HeadersTooLarge          431  headers_too_large
├── Unavailable              503  unavailable           the model is loading, draining or failed
├── DeadlineExceeded         504  deadline_exceeded     no answer in time
└── ForwardFailed            500  forward_failed        the model raised an exception on this input alone

LoadError                         a model cannot be served; ends loading, never becomes a response
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class ServiceError(Exception):
    """Base of all errors that are sent to the caller.

    Args:
        message: what is wrong and where, written for the caller.
        retry_after: seconds after which a retry may succeed; sent as `Retry-After`.
    """

    status: ClassVar[int] = 500
    error_type: ClassVar[str] = "internal"

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        # Errors are pickled between processes; keyword-only arguments need this to be unpickled.
        return (_rebuild, (type(self), self.message, self.retry_after))


def _rebuild(cls: type[ServiceError], message: str, retry_after: int | None) -> ServiceError:
    return cls(message, retry_after=retry_after)


class MalformedRequest(ServiceError):
    """The body is not what its content type says."""

    status = 400
    error_type = "malformed_request"


class Unauthenticated(ServiceError):
    """No API key, or an unknown one."""

    status = 401
    error_type = "unauthenticated"


class Forbidden(ServiceError):
    """The API key does not allow this."""

    status = 403
    error_type = "forbidden"


class NotFound(ServiceError):
    """No such model, task or path."""

    status = 404
    error_type = "not_found"


class MethodNotAllowed(ServiceError):
    """The path does not support this method."""

    status = 405
    error_type = "method_not_allowed"


class BodyTimeout(ServiceError):
    """The body did not arrive in time."""

    status = 408
    error_type = "body_timeout"


class TooLarge(ServiceError):
    """Over a limit on size or count."""

    status = 413
    error_type = "too_large"


class UnsupportedMedia(ServiceError):
    """A content type or format that the task does not support."""

    status = 415
    error_type = "unsupported_media"


class InvalidInput(ServiceError):
    """Well-formed, but not a valid input of this task."""

    status = 422
    error_type = "invalid_input"


class ContextLengthExceeded(InvalidInput):
    """Prompt and answer need more positions than the model has."""

    error_type = "context_length_exceeded"


class HeadersTooLarge(ServiceError):
    """The headers are over the limit."""

    status = 431
    error_type = "headers_too_large"


class Overloaded(ServiceError):
    """The queue is full."""

    status = 429
    error_type = "overloaded"


class Unavailable(ServiceError):
    """The model is loading, draining or failed."""

    status = 503
    error_type = "unavailable"


class DeadlineExceeded(ServiceError):
    """No answer within the request's time."""

    status = 504
    error_type = "deadline_exceeded"


class ForwardFailed(ServiceError):
    """The model raised an exception on this input alone."""

    error_type = "forward_failed"


class LoadError(Exception):
    """A model that cannot be served as configured."""


def did_you_mean(name: str, known: Iterable[str], *, listed: str | None = None, quote: str = "'") -> str:
    """The hint after an unknown name: the nearest known one, or all of them.

    Args:
        name: that is unknown.
        known: names that may be meant.
        listed: says what there is if none is near; default: all of `known`.
        quote: around the nearest name.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {quote}{near[0]}{quote}?"
    return f"there are {', '.join(known)}" if listed is None else listed
