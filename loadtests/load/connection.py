"""A minimal HTTP/1.1 client: one keep-alive connection, one request at a time.

Requests are encoded before the measurement, and of a response only the status, the headers asked for and the length are
parsed, so that the load generator uses little CPU beside the server. Standard library only.
"""

import asyncio
from dataclasses import dataclass

HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Response:
    """The status, the head as received, and the body."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        return _header(self.head, name.encode())

    @property
    def closes(self) -> bool:
        """Whether the server closes the connection after this response."""
        return (self.header("connection") or "").lower() == "close"


class Connection(asyncio.Protocol):
    """One connection. A request must not be sent while another is in flight."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._body_at = 0  # 0 until the head is complete
        self._length = 0
        self._response: asyncio.Future[Response] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    async def request(self, request: bytes) -> Response:
        """Send a whole request and wait for its response.

        Raises:
            ConnectionError: the server closed the connection, or the response has no content-length.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._response

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            self._read()
        except ConnectionError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("the server closed the connection"))

    def _read(self) -> None:
        if not self._body_at:
            end = self._received.find(HEAD_END)
            if end < 0:
                return
            self._body_at = end + len(HEAD_END)
            length = _header(bytes(self._received[: self._body_at]), b"content-length")
            if length is None:
                raise ConnectionError("the response has no content-length")
            self._length = int(length)
        if len(self._received) < self._body_at + self._length:
            return
        head = bytes(self._received[: self._body_at])
        body = bytes(self._received[self._body_at : self._body_at + self._length])
        self._received.clear()
        self._body_at = 0
        if self._response is not None and not self._response.done():
            self._response.set_result(Response(int(head[9:12]), head, body))

    def _fail(self, error: Exception) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_exception(error)


def post(host: str, port: int, path: str, content: bytes, content_type: str = "application/json") -> bytes:
    """A whole POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {content_type}\r\n"
        f"Accept: */*\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def _header(head: bytes, name: bytes) -> str | None:
    """The value of a header, whose name is given in lower case."""
    start = head.lower().find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    return head[start : head.index(b"\r\n", start)].strip().decode("latin-1")
