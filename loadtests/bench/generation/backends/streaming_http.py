"""Contenders behind HTTP: every request a connection of its own, whose server-sent events are stamped as they come."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress

from loadtests.bench.generation.driver import Track
from loadtests.load.connection import post

HOST = "127.0.0.1"
TIMEOUT_S = 120.0
DATA = b"data:"


class StreamingHttp:
    """A server that answers with a stream.

    Args:
        port: where it listens, on this machine.
        path: what is asked.
        body: JSON of a request, without prompt and length.
        style: how a request and its events look; of `STYLES`.
    """

    def __init__(self, port: int, path: str, body: dict[str, object], style: str) -> None:
        self._port, self._path, self._body = port, path, body
        self._asked, self._has_token = STYLES[style]
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def submit(self, tracks: Sequence[Track]) -> None:
        self._loop.call_soon_threadsafe(self._begin, list(tracks))

    def clear(self) -> None:
        with suppress(CancelledError):
            asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(60)

    def close(self) -> None:
        self.clear()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _begin(self, tracks: list[Track]) -> None:
        for track in tracks:
            task = self._loop.create_task(self._follow(track))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, track: Track) -> None:
        content = json.dumps(self._body | self._asked(track)).encode()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async for line in _lines(post(HOST, self._port, self._path, content), self._port):
                    if line.startswith(DATA) and self._has_token(line[len(DATA) :].strip()):
                        track.hear()
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            track.fail(str(error) if isinstance(error, Refused) else type(error).__name__)
            return
        track.fail("too few tokens")  # nothing where all came


class Refused(ValueError):
    """An answer that is no stream; says its status."""


async def _lines(request: bytes, port: int) -> AsyncIterator[bytes]:
    """The lines of one answer's body.

    Raises:
        Refused: the answer's status is not 200.
        EOFError: it ended too early.
    """
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if (status := head[9:12]) != b"200":
            raise Refused(status.decode("latin-1"))
        begun = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):  # the answer comes in chunks, one or more events each
            *whole, begun = (begun + (await reader.readexactly(size + 2))[:-2]).split(b"\n")
            for line in whole:
                yield line
    finally:
        writer.transport.abort()


def _of_this_service(track: Track) -> dict[str, object]:
    return {"inputs": track.wanted.text, "parameters": {"max_new_tokens": track.wanted.new}, "stream": True}


def _of_openai(track: Track) -> dict[str, object]:
    return {"prompt": track.wanted.text, "max_tokens": track.wanted.new, "stream": True}


def _token_of_this_service(data: bytes) -> bool:
    return data.startswith(b"{") and "token" in json.loads(data)


def _token_of_openai(data: bytes) -> bool:
    return data.startswith(b"{") and any(choice.get("text") for choice in json.loads(data).get("choices", ()))


STYLES: dict[str, tuple[Callable[[Track], dict[str, object]], Callable[[bytes], bool]]] = {
    "tgi": (_of_this_service, _token_of_this_service),
    "openai": (_of_openai, _token_of_openai),
}
