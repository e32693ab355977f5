"""What locust runs: `locust -f loadtests/locustfile.py --host http://127.0.0.1:8000`, or `make loadtest`.

Locust patches the standard library for gevent when it is imported, so that only this file and those that say so import
it, and `make loadtest` runs it as a process of its own. The plan comes from the environment (`plan.py`).
"""

import random
from typing import Any

from locust import events

from loadtests.plan import Plan
from loadtests.service.served_models import what_runs
from loadtests.traffic import callers
from loadtests.users.poisson_user import Load, Source
from loadtests.users.shapes import SHAPES

plan = Plan.from_environment()
Source.load = load = Load(plan)


class ShortText(Source):
    """Sentences, one a request."""

    caller = callers.SHORT_TEXT
    weight = caller.weight


class LongText(Source):
    """Pages, one a request; some are more than a model reads at once."""

    caller = callers.LONG_TEXT
    weight = caller.weight


class MediaFile(Source):
    """Pictures and recordings."""

    caller = callers.MEDIA
    weight = caller.weight


class ChatStream(Source):
    """Texts that are written token by token, heard to the end."""

    caller = callers.CHAT_STREAM
    weight = caller.weight


class ClientBatch(Source):
    """Lists of sentences."""

    caller = callers.CLIENT_BATCH
    weight = caller.weight


class Shape(SHAPES[plan.shape]):  # type: ignore[misc]
    """The plan's."""

    windows = plan.windows


@events.init.add_listener
def connect(environment: Any, **_: Any) -> None:
    """Ask the service what it serves; callers who could ask none of it stay away."""
    url = environment.host.rstrip("/")
    load.connect(url, what_runs(url, plan.models))
    for caller in callers.CALLERS:
        for each in caller.of(load.served):
            caller.make(each.kind, random.Random(plan.seed))  # files are made now, not while the load waits
    environment.user_classes = [each for each in environment.user_classes if each.caller.of(load.served)]


@events.test_start.add_listener
def begin(**_: Any) -> None:
    load.recorder.begin()


@events.quitting.add_listener
def end(**_: Any) -> None:
    load.end()
