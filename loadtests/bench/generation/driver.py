"""Puts a load on a generation backend: open, or saturated with a constant number of requests in flight."""

import queue
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from loadtests.bench.generation.requests import GenerationRequest
from loadtests.bench.generation.streams import StreamingResult, TokenStream

FIRST_TOKEN_LIMIT_S = 60.0
CANCEL_LIMIT_S = 60.0


class RequestInFlight:
    """A request in flight. The backend reports its tokens, from one thread.

    Args:
        request: what to generate.
        clock: seconds since the start of the load.
        on_end: called once, when it has all tokens or has failed.
    """

    def __init__(
        self, request: GenerationRequest, clock: Callable[[], float], on_end: "Callable[[RequestInFlight], None]"
    ) -> None:
        self.request = request
        self.stream = TokenStream(request.due, request.new)
        self._clock, self._on_end = clock, on_end

    def add_tokens(self, count: int = 1) -> None:
        """Record tokens that have just arrived."""
        self.stream.token_times += [self._clock()] * count
        if len(self.stream.token_times) == self.request.new:
            self._on_end(self)

    def fail(self, error: str) -> None:
        if not self.stream.has_ended:
            self.stream.error = error
            self._on_end(self)


class Backend(Protocol):
    """An engine or a server that generates."""

    def submit(self, requests: Sequence[RequestInFlight]) -> None:
        """Queue requests, all at once, without waiting for them."""

    def cancel(self) -> None:
        """Cancel all requests. Returns when none is running."""

    def close(self) -> None:
        """Stop its threads."""


def run_open(backend: Backend, requests: Sequence[GenerationRequest], drain_s: float) -> StreamingResult:
    """Submit each request when it is due, then wait for at most `drain_s` seconds."""
    run = _Run(backend)
    for request in requests:
        if (early := request.due - run.now()) > 0:
            time.sleep(early)
        run.submit([request])
    end = run.now() + drain_s
    for _ in requests:
        if not run.wait_for_end(end):
            break
    return run.cut_off()


def run_saturated(
    backend: Backend, requests: Sequence[GenerationRequest], in_flight: int, seconds: float, settle_s: float = 0.0
) -> StreamingResult:
    """Keep the same number of requests in flight, for a number of seconds.

    The first `settle_s` of them are a warm-up: rows that begin together are in the same phase. If there is no token by
    the end, the load goes on until the first one, for at most `FIRST_TOKEN_LIMIT_S`.
    """
    run = _Run(backend)
    run.submit(requests[:in_flight])
    for request in requests[in_flight:]:
        if not run.wait_for_end(seconds) or run.now() >= seconds:
            break
        if run.since < settle_s <= run.now():
            run.end_warm_up()
        run.submit([request])
    while not run.has_token and run.now() < seconds + FIRST_TOKEN_LIMIT_S:
        time.sleep(0.01)
    return run.cut_off()


class _Run:
    """The clock, the CPU time and the requests of one load."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._submitted: list[RequestInFlight] = []
        self._ended: queue.SimpleQueue[RequestInFlight] = queue.SimpleQueue()
        self._began, self._cpu = time.perf_counter(), time.process_time()
        self.since = 0.0

    def now(self) -> float:
        return time.perf_counter() - self._began

    def end_warm_up(self) -> None:
        self.since, self._cpu = self.now(), time.process_time()

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        in_flight = [RequestInFlight(each, self.now, self._ended.put) for each in requests]
        self._submitted += in_flight
        self._backend.submit(in_flight)

    def wait_for_end(self, until: float) -> bool:
        """Wait until another request has ended, or until a time; whether one has ended."""
        try:
            self._ended.get(timeout=max(0.0, until - self.now()))
        except queue.Empty:
            return False
        return True

    @property
    def has_token(self) -> bool:
        return any(each.stream.token_times for each in self._submitted)

    def cut_off(self) -> StreamingResult:
        """The result so far. Tokens that arrive during cancellation do not count."""
        ended = self.now()
        streams = [
            TokenStream(each.stream.due, each.stream.requested, each.stream.token_times.copy(), each.stream.error)
            for each in self._submitted
        ]
        cpu_s = time.process_time() - self._cpu
        self._backend.cancel()
        return StreamingResult(streams, ended, cpu_s, self.since)


def wait_until_idle(is_idle: Callable[[], bool], limit_s: float = CANCEL_LIMIT_S) -> None:
    """Poll until a backend is idle.

    Raises:
        TimeoutError: it is not idle within the limit.
    """
    end = time.monotonic() + limit_s
    while not is_idle():
        if time.monotonic() > end:
            raise TimeoutError(f"still running {limit_s:.0f} s after all requests were cancelled")
        time.sleep(0.01)
