"""The locustfile: `locust -f loadtests/locustfile.py --host http://127.0.0.1:8000`; `make loadtest` runs it too.

Importing locust patches the standard library for gevent. So only this file and `users/` import it, and `make loadtest`
runs it in a process of its own. The plan comes from the environment (`plan.py`).
"""

import random
from typing import Any

from locust import LoadTestShape, events

from loadtests.plan import Plan
from loadtests.service.models import served_models
from loadtests.traffic import callers
from loadtests.users.poisson_user import PoissonUser, Session
from loadtests.windows import users_at

plan = Plan.from_environment()
PoissonUser.session = session = Session(plan)


class ShortText(PoissonUser):
    """One sentence per request."""

    caller = callers.SHORT_TEXT


class LongText(PoissonUser):
    """One page per request; some exceed the maximum length of a model."""

    caller = callers.LONG_TEXT


class MediaFile(PoissonUser):
    """One image or recording per request."""

    caller = callers.MEDIA


class ChatStream(PoissonUser):
    """One prompt per request, whose completion is streamed."""

    caller = callers.CHAT_STREAM


class ClientBatch(PoissonUser):
    """A list of sentences per request."""

    caller = callers.CLIENT_BATCH


class PlanShape(LoadTestShape):
    """The number of users that the plan needs at each time, started and stopped at once."""

    def tick(self) -> tuple[int, float] | None:
        users = users_at(plan.windows, self.get_run_time())
        return None if users is None else (users, max(users, self.get_current_user_count(), 1))


@events.init.add_listener
def connect(environment: Any, **_: Any) -> None:
    """Read the service's models, and leave out users that none of them accepts."""
    url = environment.host.rstrip("/")
    session.connect(url, served_models(url, plan.models))
    for caller in callers.CALLERS:
        for each in caller.accepted(session.served):
            caller.payload(each.kind, random.Random(plan.seed))  # generates media files before the load, not during it
    environment.user_classes = [each for each in environment.user_classes if each.caller.accepted(session.served)]


@events.test_start.add_listener
def begin(**_: Any) -> None:
    session.recorder.begin()


@events.quitting.add_listener
def end(**_: Any) -> None:
    session.end()
