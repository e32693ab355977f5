"""Backend: a server that streams server-sent events over HTTP. Each request has a connection of its own."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress

from loadtests.bench.generation.driver import RequestInFlight
from loadtests.bench.generation.requests import GenerationRequest
from loadtests.load.connection import post

HOST = "127.0.0.1"
TIMEOUT_S = 120.0
DATA = b"data:"


class HttpStreamBackend:
    """A server on this machine.

    Args:
        port: of the server.
        path: of the route.
        style: the format of requests and events; one of `STYLES`.
    """

    def __init__(self, port: int, path: str, style: str) -> None:
        self._port, self._path = port, path
        self._body, self._has_token = STYLES[style]
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def submit(self, requests: Sequence[RequestInFlight]) -> None:
        self._loop.call_soon_threadsafe(self._start, list(requests))

    def cancel(self) -> None:
        with suppress(CancelledError):
            asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(60)

    def close(self) -> None:
        self.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _start(self, requests: list[RequestInFlight]) -> None:
        for each in requests:
            task = self._loop.create_task(self._send(each))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, request: RequestInFlight) -> None:
        content = json.dumps(self._body(request.request)).encode()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async for line in _lines(post(HOST, self._port, self._path, content), self._port):
                    if line.startswith(DATA) and self._has_token(line[len(DATA) :].strip()):
                        request.add_tokens()
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            request.fail(str(error) if isinstance(error, StatusError) else type(error).__name__)
            return
        request.fail("too few tokens")  # does nothing if it has all tokens


class StatusError(ValueError):
    """A response with another status than 200; the message is the status."""


async def _lines(request: bytes, port: int) -> AsyncIterator[bytes]:
    """The lines of a response's body, which has chunked transfer encoding.

    Raises:
        StatusError: the status is not 200.
        EOFError: the response is incomplete.
    """
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if (status := head[9:12]) != b"200":
            raise StatusError(status.decode("latin-1"))
        partial = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            *lines, partial = (partial + (await reader.readexactly(size + 2))[:-2]).split(b"\n")
            for line in lines:
                yield line
    finally:
        writer.transport.abort()


def _tgi_body(request: GenerationRequest) -> dict[str, object]:
    return {"inputs": request.text, "parameters": {"max_new_tokens": request.new}, "stream": True}


def _openai_body(request: GenerationRequest) -> dict[str, object]:
    return {"prompt": request.text, "max_tokens": request.new, "stream": True}


def _tgi_has_token(data: bytes) -> bool:
    return data.startswith(b"{") and "token" in json.loads(data)


def _openai_has_token(data: bytes) -> bool:
    return data.startswith(b"{") and any(choice.get("text") for choice in json.loads(data).get("choices", ()))


STYLES: dict[str, tuple[Callable[[GenerationRequest], dict[str, object]], Callable[[bytes], bool]]] = {
    "tgi": (_tgi_body, _tgi_has_token),
    "openai": (_openai_body, _openai_has_token),
}
