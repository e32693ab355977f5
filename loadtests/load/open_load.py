"""An open load: requests come at their moments, whatever became of those before them, as from callers without number.

Standard library only, for the same reason as `load`. Connections are kept; one is opened where none is free.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from loadtests.load.connection import Connection, Reply, post

SEED = 7
MOST_CONNECTIONS = 3000  # HAProxy takes 4096
NO_CONNECTION = "NoConnection"


@dataclass(frozen=True, slots=True)
class Phase:
    """So many requests a second, for so many seconds."""

    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """What to ask.

    Attributes:
        bodies: JSON bodies, asked in order and again from the start.
        phases: one after the other, without a pause.
        timeout_s: after which a caller gives up.
    """

    port: int
    path: str
    bodies: list[str]
    phases: list[Phase]
    timeout_s: float
    host: str = "127.0.0.1"


@dataclass(slots=True)
class Asked:
    """A request and what became of it; seconds since the start of the load.

    Attributes:
        due: when it was to be sent.
        sent: when it was.
        ended: when it was answered or given up.
        outcome: the answer's status, or the kind of error.
        retry_after: what the answer said, where it did.
    """

    due: float
    sent: float
    ended: float = 0.0
    outcome: str = ""
    retry_after: float | None = None


@dataclass(slots=True)
class OpenResult:
    """All that was asked, in order, the connections that it took, and the CPU time of this process."""

    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    cpu_s: float = 0.0


def moments(phases: Sequence[Phase], seed: int = SEED) -> Iterator[float]:
    """When requests are due: independent of each other (Poisson), the same for the same seed."""
    draw, began = random.Random(seed), 0.0
    for phase in phases:
        at = began
        while (at := at + draw.expovariate(phase.rate)) < began + phase.seconds:
            yield at
        began += phase.seconds


async def run_open(load: OpenLoad) -> OpenResult:
    """Put the load on, and wait until every request is answered or given up."""
    return await _Run(load).run()


class _Run:
    def __init__(self, load: OpenLoad) -> None:
        self._load = load
        self._requests = [post(load.host, load.port, load.path, body.encode()) for body in load.bodies]
        self._free: list[Connection] = []
        self._open = 0
        self._began = time.perf_counter()
        self._result = OpenResult()

    async def run(self) -> OpenResult:
        cpu = time.process_time()
        self._began = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        for number, due in enumerate(moments(self._load.phases)):
            if (early := due - self._now()) > 0:
                await asyncio.sleep(early)
            elif number % 50 == 0:
                await asyncio.sleep(0)  # answers are read although requests are late
            asked = Asked(due, self._now())
            self._result.asked.append(asked)
            task = asyncio.create_task(self._ask(asked, self._requests[number % len(self._requests)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        while tasks:
            await asyncio.wait(tasks)
        for connection in self._free:
            connection.close()
        self._result.cpu_s = time.process_time() - cpu
        return self._result

    async def _ask(self, asked: Asked, request: bytes) -> None:
        connection = self._free.pop() if self._free else None
        if connection is None and self._open >= MOST_CONNECTIONS:
            asked.outcome, asked.ended = NO_CONNECTION, self._now()
            return
        try:
            self._open += connection is None
            async with asyncio.timeout(self._load.timeout_s):
                connection = connection or await self._connect()
                reply = await connection.ask(request)
        except (OSError, TimeoutError) as error:
            asked.outcome = type(error).__name__
            self._leave(connection)
        else:
            self._note(asked, reply)
            if reply.closes:
                self._leave(connection)
            else:
                self._free.append(connection)
        asked.ended = self._now()

    async def _connect(self) -> Connection:
        self._result.connections += 1
        return await Connection.open(self._load.host, self._load.port)

    def _leave(self, connection: Connection | None) -> None:
        self._open -= 1
        if connection is not None:
            connection.close()

    @staticmethod
    def _note(asked: Asked, reply: Reply) -> None:
        asked.outcome = str(reply.status)
        if reply.status != 200 and (told := reply.header("retry-after")) is not None:
            asked.retry_after = float(told)

    def _now(self) -> float:
        return time.perf_counter() - self._began
