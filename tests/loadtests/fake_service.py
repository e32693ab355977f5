"""A service of a few lines with the index of this project's, which is as slow as a test needs."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.quiet_server import QuietServer

READS, WRITES = "/tasks/text-classification", "/tasks/text-generation"
MODELS = [
    {"model": "reader", "task": "text-classification", "paths": [READS]},
    {"model": "writer", "task": "text-generation", "paths": [WRITES]},
]
TOKENS, TOKEN_S = 5, 0.02


class FakeService(QuietServer):
    """Answers every request with 200.

    Args:
        wait: called with the number of a request before it is answered.
        whole_streams: whether streams have their last event.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, wait: Callable[[int], None], whole_streams: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.wait, self.whole_streams = wait, whole_streams
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeService

    def do_GET(self) -> None:
        self._answer(200, {"models": MODELS}) if self.path == "/" else self._answer(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        self.server.keys.add(self.headers["authorization"])
        self.server.wait(len(self.server.bodies))
        self._stream() if body.get("stream") else self._answer(200, [])

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number in range(TOKENS):
            time.sleep(TOKEN_S)
            is_last = number == TOKENS - 1 and self.server.whole_streams
            self._chunk(json.dumps({"token": {"id": 1}, "generated_text": "all" if is_last else None}))
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: str) -> None:
        data = f"data:{event}\n\n".encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def fake_service(
    wait: Callable[[int], None] = lambda number: None, whole_streams: bool = True
) -> Iterator[FakeService]:
    with FakeService(wait, whole_streams) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
