"""A constant load on some paths of a service, from a thread of its own, and what became of each request."""

import asyncio
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any

import httpx

TIMEOUT_S = 60.0
PER_SECOND = 10.0  # on each path, whether the ones before are answered or not


@dataclass(slots=True)
class Asked:
    """One request.

    Attributes:
        path: that was asked.
        began: when, in seconds of the monotonic clock.
        ended: when it was over; None while it is not.
        outcome: 200, another status, or what went wrong with the connection.
        model: that answered.
    """

    path: str
    began: float
    ended: float | None = None
    outcome: int | str = ""
    model: str = ""

    @property
    def took_s(self) -> float:
        assert self.ended is not None
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the requests of a while.

    Attributes:
        sent: how many there were.
        lost: those that were not answered with 200.
        gap_s: longest time between two answers on one path.
        slowest_s: longest time for an answer.
        models: that answered, by path.
    """

    sent: int
    lost: Sequence[Asked]
    gap_s: float
    slowest_s: float
    models: Mapping[str, set[str]]


class ConstantLoad:
    """Asks until it is left; a context manager.

    Args:
        url: of the service.
        bodies: path to the JSON that is posted there.
        verify: whose certificates are taken.
    """

    def __init__(self, url: str, bodies: Mapping[str, Any], verify: ssl.SSLContext | bool = True) -> None:
        self._url, self._verify = url, verify
        self._bodies = bodies
        self._asked: list[Asked] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask()), daemon=True)

    def __enter__(self) -> "ConstantLoad":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT_S)

    def figures(self, since: float) -> Figures:
        """Of all requests that began since then; waits for those that are under way."""
        asked = [each for each in list(self._asked) if each.began >= since]
        while any(each.ended is None for each in asked):
            time.sleep(0.02)
        answered = [each for each in asked if each.outcome == 200]
        ends = {path: sorted(e.began + e.took_s for e in answered if e.path == path) for path in self._bodies}
        return Figures(
            sent=len(asked),
            lost=[each for each in asked if each.outcome != 200],
            gap_s=max(after - before for times in ends.values() for before, after in pairwise(times)),
            slowest_s=max(each.took_s for each in answered),
            models={path: {each.model for each in answered if each.path == path} for path in self._bodies},
        )

    async def _ask(self) -> None:
        async with (
            httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_S, verify=self._verify) as client,
            asyncio.TaskGroup() as group,
        ):
            began, turn = time.monotonic(), 0
            while not self._stop.is_set():
                for path in self._bodies:
                    group.create_task(self._one(client, path))
                turn += 1
                await asyncio.sleep(max(0.0, began + turn / PER_SECOND - time.monotonic()))

    async def _one(self, client: httpx.AsyncClient, path: str) -> None:
        asked = Asked(path, time.monotonic())
        self._asked.append(asked)
        try:
            answer = await client.post(path, json=self._bodies[path])
            asked.outcome, asked.model = answer.status_code, answer.headers.get("x-model", "")
        except httpx.HTTPError as error:
            asked.outcome = f"{type(error).__name__}: {error}"
        finally:
            asked.ended = time.monotonic()
