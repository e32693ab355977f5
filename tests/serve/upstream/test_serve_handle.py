"""What the gateway says where Ray Serve takes no more requests for a model."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve.exceptions import BackPressureError

from deployments.batching.drain_rate import DrainRate
from deployments.errors import DeadlineExceeded, InvalidInput, Overloaded, Unavailable
from deployments.registry import find_task
from serve.routes import Route, RouteTable
from serve.upstream import serve_handle as module
from serve.upstream.serve_handle import ServeReplicas

ROUTE = RouteTable([("small", find_task("text-classification"))]).routes[0]

Answer = Callable[[], Awaitable[Any]]


class Response:
    def __init__(self, answer: Answer, cancelled: list[str]) -> None:
        self._answer = answer
        self._cancelled = cancelled

    def __await__(self) -> Any:
        return self._answer().__await__()

    async def __anext__(self) -> Any:
        return await self._answer()

    def cancel(self) -> None:
        self._cancelled.append("a request")


class Handle:
    """Answers as Ray Serve's handle, with what it is given."""

    def __init__(self, answer: Answer) -> None:
        self.cancelled: list[str] = []
        self.forward = self.forward_stream = SimpleNamespace(remote=lambda *_: Response(answer, self.cancelled))

    def options(self, **options: Any) -> "Handle":
        return self


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def full() -> Any:
    raise BackPressureError(num_queued_requests=4096, max_queued_requests=4096)


async def has_replica(route: Route) -> None:
    """Let a request pass."""


async def is_loading(route: Route) -> None:
    raise Unavailable(f"{route.model} has no replica yet", retry_after=5)


def upstream(answer: Answer, timeout_s: float = 60.0, require_replica: Any = has_replica) -> ServeReplicas:
    made = ServeReplicas(require_replica, timeout_s)
    made._handles["small"] = Handle(answer)  # type: ignore[assignment]
    return made


async def ask(gateway: ServeReplicas) -> Any:
    return await gateway.request(ROUTE, "POST", [], b"{}")


async def test_a_model_that_never_answered_is_not_there_yet() -> None:
    with pytest.raises(Unavailable, match="small has no replica that accepts requests now") as told:
        await ask(upstream(full))
    assert told.value.retry_after == 5
    with pytest.raises(Unavailable):
        await upstream(full).stream(ROUTE, "POST", [], b"{}")


async def test_a_model_that_answers_is_overloaded_for_as_long_as_its_line_takes() -> None:
    may = asyncio.Semaphore(0)

    async def slow() -> Any:
        await may.acquire()
        return 200, [], b"{}"

    clock = Clock()
    gateway = upstream(slow)
    gateway._queues["small"] = DrainRate(clock)
    tasks = [asyncio.create_task(ask(gateway)) for _ in range(40)]
    await asyncio.sleep(0)
    for answered in range(1, 11):  # five a second
        clock.now += 0.2
        may.release()
        while sum(task.done() for task in tasks) < answered:  # noqa: ASYNC110
            await asyncio.sleep(0)
    gateway._handles["small"] = Handle(full)  # type: ignore[assignment]
    with pytest.raises(Overloaded, match="small has 31 requests waiting") as told:
        await ask(gateway)
    assert told.value.retry_after == 7
    with pytest.raises(Overloaded):
        await gateway.stream(ROUTE, "POST", [], b"{}")
    for _ in tasks:
        may.release()
    await asyncio.gather(*tasks)
    assert gateway._queues["small"].in_progress == 0


async def test_refusals_of_the_model_itself_are_no_answers() -> None:
    async def refused() -> Any:
        return 429, [(b"retry-after", b"3")], b"{}"

    gateway = upstream(refused)
    for _ in range(50):
        assert (await ask(gateway)).header(b"retry-after") == "3"
    assert gateway._queues["small"].per_second is None


async def never() -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("timeout_s", "headers"), [(0.01, []), (60.0, [(b"timeout", b"0.01")])])
async def test_what_no_replica_takes_ends_with_its_time(
    timeout_s: float, headers: list[tuple[bytes, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MARGIN_S", 0.01)
    gateway = upstream(never, timeout_s)
    with pytest.raises(DeadlineExceeded, match="no replica of small answered within the request's timeout"):
        await gateway.request(ROUTE, "POST", headers, b"{}")
    with pytest.raises(DeadlineExceeded):
        await gateway.stream(ROUTE, "POST", headers, b"{}")
    assert gateway._handles["small"].cancelled == ["a request"] * 2  # type: ignore[attr-defined]
    assert gateway._queues["small"].in_progress == 0


async def test_a_caller_that_leaves_ends_its_request() -> None:
    gateway = upstream(never)
    task = asyncio.create_task(ask(gateway))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gateway._handles["small"].cancelled == ["a request"]  # type: ignore[attr-defined]


async def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="timeout"):
        await upstream(never).request(ROUTE, "POST", [(b"timeout", b"soon")], b"{}")


async def test_a_model_that_is_loading_is_not_waited_for() -> None:
    gateway = upstream(never, require_replica=is_loading)
    with pytest.raises(Unavailable, match="small has no replica yet"):
        await ask(gateway)
    with pytest.raises(Unavailable, match="small has no replica yet"):
        await gateway.stream(ROUTE, "POST", [], b"{}")
    assert gateway._queues["small"].in_progress == 0
