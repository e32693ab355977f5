"""A closed load: so many callers, each asks again as soon as it is answered, until enough is asked or time is up.

Standard library only: it runs in a process of its own (`load_process`) that should start fast and cost little.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.load.connection import Connection, Reply, post

PAUSE_AFTER_ERROR_S = 0.05


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask.

    Attributes:
        bodies: JSON bodies, asked in order and again from the start.
        files: in place of bodies: paths of files to send as they are, of the type `content_type`.
        requests: how many in all.
        seconds: no request begins later than this.
        headers: answer headers to keep.
    """

    port: int
    path: str
    bodies: list[str]
    requests: int
    concurrency: int
    host: str = "127.0.0.1"
    seconds: float = 600.0
    timeout_s: float = 60.0
    headers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    content_type: str = "application/json"


@dataclass(slots=True)
class Result:
    """What came back.

    Attributes:
        latencies: seconds of each answer with status 200.
        statuses: answers by status.
        errors: requests without an answer, by the kind of error.
        headers: the values of each kept header, of answers with status 200.
        wall_s: from the first request to the last answer.
    """

    latencies: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    headers: dict[str, list[str]] = field(default_factory=dict)
    wall_s: float = 0.0

    @property
    def failures(self) -> dict[str, int]:
        """Requests that were not answered with 200, by status or kind of error."""
        return {status: count for status, count in self.statuses.items() if status != "200"} | self.errors

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


async def run(load: Load) -> Result:
    """Put the load on and wait for its end."""
    requests = _requests(load)
    result = Result(headers={name: [] for name in load.headers})
    began = time.perf_counter()
    turns = _turns(load, began + load.seconds)
    await asyncio.gather(*(_caller(load, requests, turns, result) for _ in range(load.concurrency)))
    result.wall_s = time.perf_counter() - began
    return result


def _requests(load: Load) -> list[bytes]:
    contents = [Path(file).read_bytes() for file in load.files] or [body.encode() for body in load.bodies]
    return [post(load.host, load.port, load.path, content, load.content_type) for content in contents]


def _turns(load: Load, until: float) -> Iterator[int]:
    """Which body is next; shared by all callers."""
    for turn in range(load.requests):
        if time.perf_counter() >= until:
            return
        yield turn % len(load.files or load.bodies)


async def _caller(load: Load, requests: list[bytes], turns: Iterator[int], result: Result) -> None:
    connection: Connection | None = None
    try:
        for turn in turns:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(load.timeout_s):
                    connection = connection or await Connection.open(load.host, load.port)
                    reply = await connection.ask(requests[turn])
            except (OSError, TimeoutError) as error:
                _count(result.errors, type(error).__name__)
                if connection is not None:
                    connection.close()
                connection = None
                await asyncio.sleep(PAUSE_AFTER_ERROR_S)
                continue
            _note(result, reply, time.perf_counter() - began)
            if reply.closes:
                connection.close()
                connection = None
    finally:
        if connection is not None:
            connection.close()


def _note(result: Result, reply: Reply, latency: float) -> None:
    _count(result.statuses, str(reply.status))
    if reply.status == 200:
        result.latencies.append(latency)
        for name, values in result.headers.items():
            value = reply.header(name)
            if value is not None:
                values.append(value)


def _count(counts: dict[str, int], what: str) -> None:
    counts[what] = counts.get(what, 0) + 1
