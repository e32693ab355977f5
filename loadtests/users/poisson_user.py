"""A locust user that sends an open load.

A usual locust user waits for its response before it sends the next request. While the service stalls, such users send
less, and the measurement leaves out the requests that would have waited (coordinated omission). This user sends each
request when it is due, and latency counts from that time.
"""

import itertools
import random
from typing import Any, ClassVar

import gevent
from gevent.pool import Group
from locust import User, task

from loadtests.load.arrivals import Phase, arrival_times
from loadtests.load.http_load import MAX_CONNECTIONS
from loadtests.load.records import Recorder, RequestRecord
from loadtests.load.results import NO_CONNECTION
from loadtests.plan import Plan
from loadtests.service.models import ServedModel
from loadtests.traffic.callers import Caller
from loadtests.users.client import http_client, send
from loadtests.windows import RATE_PER_USER

FOREVER = Phase(RATE_PER_USER, float("inf"))


class Session:
    """State that all users share: the plan, the models, the client, the records, and the requests in flight."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.recorder = Recorder(plan.records)
        self.in_flight = Group()
        self.served: list[ServedModel] = []
        self.client: Any = None
        self.seeds = itertools.count(plan.seed)
        self._remaining = plan.max_requests

    def connect(self, url: str, served: list[ServedModel]) -> None:
        self.client, self.served = http_client(url, self.plan.timeout_s), served

    def take(self) -> bool:
        """Count one more request; False if the plan allows no more."""
        self._remaining -= 1
        return self._remaining >= 0

    def end(self) -> None:
        """Wait for the requests in flight, which time out."""
        self.in_flight.join(self.plan.timeout_s + 5)
        self.recorder.close()


class PoissonUser(User):
    """Sends the requests of one kind of caller, at random times of a constant rate."""

    abstract = True
    caller: ClassVar[Caller]
    session: ClassVar[Session]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.weight = cls.caller.weight

    @task
    def send_requests(self) -> None:
        """Runs until locust stops the user. Requests in flight are not stopped."""
        session, seed = self.session, next(self.session.seeds)
        rng, began = random.Random(seed), session.recorder.now()
        served = self.caller.accepted(session.served)
        for at in arrival_times([FOREVER], seed):
            gevent.sleep(max(0.0, began + at - session.recorder.now()))
            if not session.take():
                break
            session.in_flight.start(gevent.Greenlet(self._send, rng.choice(served), rng, began + at))
        gevent.sleep(float("inf"))

    def _send(self, served: ServedModel, rng: random.Random, due: float) -> None:
        session = self.session
        payload = self.caller.payload(served.kind, rng)
        sent = session.recorder.now()
        record = RequestRecord(due, sent, caller=self.caller.name, task=served.task, model=served.model)
        record.items = payload.items
        if len(session.in_flight) > MAX_CONNECTIONS:
            record.outcome, record.ended = NO_CONNECTION, session.recorder.now()
        else:
            send(session.client, served.path, payload, record, session.plan.timeout_s, session.recorder.now)
        session.recorder.add(record)
        self._report(record)

    def _report(self, record: RequestRecord) -> None:
        """Add to locust's own statistics: the request, and the time to first token and per output token of a stream."""
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
