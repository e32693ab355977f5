"""What a span says of an error: its kind, and never its message, which may have a part of the input."""

from deployments.errors import ServiceError


def error_type(error: BaseException) -> str:
    """The error's name, as answers have it; of others that of their class."""
    return error.error_type if isinstance(error, ServiceError) else type(error).__qualname__
