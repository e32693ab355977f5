"""The time for a request: the service's own limit, which a client may shorten with the header `timeout`."""

import math

from deployments.errors import InvalidInput
from serve.messages import Scope, header

HEADER = b"timeout"


def timeout_of(scope: Scope, most: float) -> float:
    """Seconds until a request has to be answered.

    Args:
        scope: of the request; its header `timeout` has seconds.
        most: the service's own limit; no header goes beyond it.

    Raises:
        InvalidInput: the header is no number above 0.
    """
    said = header(scope, HEADER)
    if said is None:
        return most
    try:
        seconds = float(said)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise InvalidInput(f"timeout: the header should be a number of seconds above 0, not {said[:40]!r}")
    return min(seconds, most)
