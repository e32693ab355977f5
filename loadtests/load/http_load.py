"""Closed and open HTTP load against one path.

Closed: a fixed number of clients, each of which sends its next request when it has its response. Open: requests are
sent when they are due, however many are in flight.

Standard library only: it runs in a process of its own (`load_process`) that must start fast and use little CPU.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.load.arrivals import Phase, arrival_times
from loadtests.load.connection import Connection, Response, post
from loadtests.load.results import NO_CONNECTION, LoadResult, RequestResult

SEED = 7
MAX_CONNECTIONS = 3000  # HAProxy accepts 4096
PAUSE_AFTER_ERROR_S = 0.05
LATE_BURST = 50  # requests that a late open load sends before it reads responses


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLoad:
    """What is sent, and where.

    Attributes:
        bodies: JSON bodies, sent in order, then again from the start.
        files: paths of files to send in place of `bodies`, as `content_type`.
        timeout_s: seconds after which a client gives up.
        headers: response headers to keep.
    """

    port: int
    path: str
    bodies: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    content_type: str = "application/json"
    host: str = "127.0.0.1"
    timeout_s: float = 60.0
    headers: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoad(HttpLoad):
    """A fixed number of clients.

    Attributes:
        requests: number of requests, of all clients together.
        concurrency: number of clients.
        seconds: no request starts later than this.
    """

    requests: int
    concurrency: int
    seconds: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoad(HttpLoad):
    """Requests that arrive at random times, at the rates of the phases, which follow each other without a pause."""

    phases: list[Phase]


async def run(load: ClosedLoad | OpenLoad) -> LoadResult:
    """Generate the load and wait until every request has ended."""
    cpu = time.process_time()
    sender = _Sender(load)
    if isinstance(load, OpenLoad):
        await _send_open(load, sender)
    else:
        await _send_closed(load, sender)
    sender.close()
    sender.result.wall_s = sender.now()
    sender.result.cpu_s = time.process_time() - cpu
    return sender.result


async def _send_closed(load: ClosedLoad, sender: "_Sender") -> None:
    def turns() -> Iterator[int]:
        """Shared by all clients."""
        for number in range(load.requests):
            if sender.now() >= load.seconds:
                return
            yield number

    async def client() -> None:
        for number in numbers:
            result = await sender.send(number, sender.now())
            if not result.has_response:
                await asyncio.sleep(PAUSE_AFTER_ERROR_S)

    numbers = turns()
    await asyncio.gather(*(client() for _ in range(load.concurrency)))


async def _send_open(load: OpenLoad, sender: "_Sender") -> None:
    tasks: set[asyncio.Task[RequestResult]] = set()
    for number, due in enumerate(arrival_times(load.phases, SEED)):
        if (early := due - sender.now()) > 0:
            await asyncio.sleep(early)
        elif number % LATE_BURST == 0:
            await asyncio.sleep(0)
        task = asyncio.create_task(sender.send(number, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    while tasks:
        await asyncio.wait(tasks)


class _Sender:
    """Sends requests over keep-alive connections, and opens one when none is idle."""

    def __init__(self, load: HttpLoad) -> None:
        self._load = load
        contents = [Path(file).read_bytes() for file in load.files] or [body.encode() for body in load.bodies]
        self._requests = [post(load.host, load.port, load.path, each, load.content_type) for each in contents]
        self._idle: list[Connection] = []
        self._open = 0
        self.result = LoadResult(headers={name: [] for name in load.headers})
        self._began = time.perf_counter()

    def now(self) -> float:
        return time.perf_counter() - self._began

    def close(self) -> None:
        for connection in self._idle:
            connection.close()

    async def send(self, number: int, due: float) -> RequestResult:
        result = RequestResult(due, self.now())
        self.result.requests.append(result)
        connection = self._idle.pop() if self._idle else None
        if connection is None and self._open >= MAX_CONNECTIONS:
            result.outcome, result.ended = NO_CONNECTION, self.now()
            return result
        try:
            self._open += connection is None
            async with asyncio.timeout(self._load.timeout_s):
                connection = connection or await self._connect()
                response = await connection.request(self._requests[number % len(self._requests)])
        except (OSError, TimeoutError) as error:
            result.outcome = type(error).__name__
            self._drop(connection)
        else:
            self._note(result, response)
            if response.closes:
                self._drop(connection)
            else:
                self._idle.append(connection)
        result.ended = self.now()
        return result

    async def _connect(self) -> Connection:
        self.result.connections += 1
        return await Connection.open(self._load.host, self._load.port)

    def _drop(self, connection: Connection | None) -> None:
        self._open -= 1
        if connection is not None:
            connection.close()

    def _note(self, result: RequestResult, response: Response) -> None:
        result.outcome = str(response.status)
        if result.is_answered:
            for name, values in self.result.headers.items():
                if (value := response.header(name)) is not None:
                    values.append(value)
        elif (retry_after := response.header("retry-after")) is not None:
            result.retry_after = float(retry_after)
