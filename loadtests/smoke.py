"""A smoke test before the load: one request of each kind of caller to each model.

It also warms the models up, as their first calls are slower.
"""

import random
import urllib.error
import urllib.request
from collections.abc import Sequence

from loadtests.service.api_key import authorization
from loadtests.service.models import ServedModel
from loadtests.traffic.callers import CALLERS
from loadtests.traffic.payload import Payload

TIMEOUT_S = 60.0


class SmokeTestFailed(Exception):
    """The service does not accept what the load test would send."""


def smoke_test(url: str, served: Sequence[ServedModel], seed: int) -> int:
    """Send the requests one after another. Returns their number.

    Raises:
        SmokeTestFailed: a response has another status than 200.
    """
    rng, sent = random.Random(seed), 0
    for caller in CALLERS:
        for each in caller.accepted(served):
            _send(f"{url}{each.path}", caller.payload(each.kind, rng), f"{caller.name} to {each.model}")
            sent += 1
    if not sent:
        raise SmokeTestFailed("no kind of caller has requests for the models that are served")
    return sent


def _send(url: str, payload: Payload, label: str) -> None:
    request = urllib.request.Request(url, payload.content, {"Content-Type": payload.content_type} | authorization())
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            response.read()
    except urllib.error.HTTPError as error:
        raise SmokeTestFailed(f"{label}: {error.code} {error.read().decode(errors='replace')[:500]}") from None
    except OSError as error:
        raise SmokeTestFailed(f"{label}: {error!r}") from None
