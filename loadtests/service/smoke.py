"""One request of each kind of caller to each model before the load: first calls are slower, and mistakes show here."""

import random
import urllib.error
import urllib.request
from collections.abc import Sequence

from loadtests.service.api_key import authorization
from loadtests.service.served_models import Served
from loadtests.traffic.callers import CALLERS
from loadtests.traffic.payload import Payload

TIMEOUT_S = 60.0


class Refused(Exception):
    """The service does not take what the load would send."""


def ask_each_once(url: str, served: Sequence[Served], seed: int) -> int:
    """Ask, and wait for the answers one after the other; how many there were.

    Raises:
        Refused: one was not answered with 200.
    """
    draw, asked = random.Random(seed), 0
    for caller in CALLERS:
        for each in caller.of(served):
            _ask(f"{url}{each.path}", caller.make(each.kind, draw), f"{caller.name} to {each.model}")
            asked += 1
    if not asked:
        raise Refused("there is no kind of caller that asks what is served")
    return asked


def _ask(url: str, payload: Payload, what: str) -> None:
    request = urllib.request.Request(url, payload.content, {"Content-Type": payload.content_type} | authorization())
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        raise Refused(f"{what}: {error.code} {error.read().decode(errors='replace')[:500]}") from None
    except OSError as error:
        raise Refused(f"{what}: {error!r}") from None
