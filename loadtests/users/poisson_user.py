"""An open source of requests, as one of locust's users. Imported in locust's process only.

A usual user waits for its answer before it asks again, so that a service that stalls is asked less while it does, and
the measurement leaves out those who would have waited (coordinated omission). This one sends each request when it is
due, whatever became of those before it, and its latency counts from then.
"""

import itertools
import random
from typing import Any, ClassVar

import gevent
from gevent.pool import Group
from locust import User, task

from loadtests.load.open_load import MOST_CONNECTIONS, NO_CONNECTION, Phase, moments
from loadtests.load.records import Record, Recorder
from loadtests.plan import Plan
from loadtests.service.served_models import Served
from loadtests.traffic.callers import Caller
from loadtests.users.client import ask, client_of
from loadtests.windows import RATE_PER_USER

FOREVER = Phase(RATE_PER_USER, float("inf"))


class Load:
    """What all sources share: the plan, the service, the records, and what is under way."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.recorder = Recorder(plan.records)
        self.under_way = Group()
        self.served: list[Served] = []
        self.client: Any = None
        self.numbers = itertools.count(plan.seed)
        self._left = plan.most_requests

    def connect(self, url: str, served: list[Served]) -> None:
        self.client, self.served = client_of(url, self.plan.timeout_s), served

    def may_send(self) -> bool:
        """Whether one more may go out; counts it."""
        self._left -= 1
        return self._left >= 0

    def end(self) -> None:
        """Wait for what is under way, which the callers' patience bounds."""
        self.under_way.join(self.plan.timeout_s + 5)
        self.recorder.close()


class Source(User):
    """Sends requests of one kind of caller at a constant rate, at moments independent of each other (Poisson)."""

    abstract = True
    caller: ClassVar[Caller]
    load: ClassVar[Load]

    @task
    def send(self) -> None:
        """Goes on until locust takes the user away; what is under way then goes on."""
        load, number = self.load, next(self.load.numbers)
        draw, began = random.Random(number), load.recorder.now()
        served = self.caller.of(load.served)
        for moment in moments([FOREVER], number):
            gevent.sleep(max(0.0, began + moment - load.recorder.now()))
            if not load.may_send():
                break
            load.under_way.start(gevent.Greenlet(self._ask, draw.choice(served), draw, began + moment))
        gevent.sleep(float("inf"))

    def _ask(self, served: Served, draw: random.Random, due: float) -> None:
        load = self.load
        payload = self.caller.make(served.kind, draw)
        record = Record(due, load.recorder.now(), caller=self.caller.name, task=served.task, model=served.model)
        record.items = payload.items
        if len(load.under_way) > MOST_CONNECTIONS:
            record.outcome, record.ended = NO_CONNECTION, load.recorder.now()
        else:
            ask(load.client, served.path, payload, record, load.plan.timeout_s, load.recorder.now)
        load.recorder.add(record)
        self._tell(record)

    def _tell(self, record: Record) -> None:
        """Locust's own statistics: the request, and for a stream its first token and those after it."""
        error = None if record.is_answered else RuntimeError(record.outcome)
        self._fire(record.task, record.latency_s, error)
        if record.first_token_s is not None:
            self._fire(f"{record.task}: time to first token", record.first_token_s)
        if record.token_s is not None:
            self._fire(f"{record.task}: time per output token", record.token_s)

    def _fire(self, name: str, seconds: float, error: Exception | None = None) -> None:
        self.environment.events.request.fire(
            request_type=self.caller.name,
            name=name,
            response_time=seconds * 1e3,
            response_length=0,
            exception=error,
            context={},
        )
