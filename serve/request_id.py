"""The id of a request: the client's own, or a new one."""

import uuid

from serve.messages import Scope, header


def new_request_id() -> str:
    return uuid.uuid4().hex


def request_id(scope: Scope) -> str:
    """`x-request-id` as it was sent, else a new one."""
    return header(scope, b"x-request-id") or new_request_id()
