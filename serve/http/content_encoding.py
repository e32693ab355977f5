"""Compressed request bodies (`Content-Encoding`), decompressed piece by piece within the limit of a body."""

import asyncio
import zlib

from deployments.errors import MalformedRequest, TooLarge, UnsupportedMedia
from serve.http.messages import Message, Receive

# zlib's window bits by encoding. RFC 9110 has x-gzip as another name of gzip.
ENCODINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
MAX_RATIO = 1032  # of decompressed to compressed bytes; DEFLATE does not go beyond
_LARGE = 4096  # bytes; more than this, which may become megabytes, is decompressed on a thread


class Decompressor:
    """Decompresses one body.

    Args:
        encoding: value of the header.
        limit: bytes of the decompressed body.

    Raises:
        UnsupportedMedia: the encoding is not one of `ENCODINGS`.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        name = encoding.strip().lower()
        if name not in ENCODINGS:
            raise UnsupportedMedia(f"unsupported Content-Encoding {encoding}; use gzip, deflate or none")
        self._name = name
        self._limit = self._left = limit
        self._stream = zlib.decompressobj(ENCODINGS[name])
        self._is_empty = True

    def decompress(self, piece: bytes) -> bytes:
        """The next piece, decompressed. A body may have several gzip members, one after the other.

        Raises:
            MalformedRequest: the body does not match its encoding.
            TooLarge: more than `limit` bytes; no more than that are ever decompressed.
        """
        pieces = []
        while piece:
            self._is_empty = False
            if self._stream.eof:
                self._stream = zlib.decompressobj(ENCODINGS[self._name])
            try:
                pieces.append(self._stream.decompress(piece, self._left + 1))
            except zlib.error as error:
                raise MalformedRequest(f"the body is not {self._name}: {error}") from None
            self._left -= len(pieces[-1])
            if self._left < 0:
                raise TooLarge(f"the body has more than {self._limit:,} bytes, which is the limit")
            piece = self._stream.unused_data
        return b"".join(pieces)

    def end(self) -> None:
        """Check that the body has ended.

        Raises:
            MalformedRequest: it was cut short.
        """
        if not (self._stream.eof or self._is_empty):
            raise MalformedRequest(f"the body's {self._name} data is incomplete")


def decompressed(receive: Receive, encoding: str, limit: int) -> Receive:
    """Receive the messages of a compressed body with its decompressed pieces; `Decompressor`'s errors are raised there.

    Args:
        receive: of the ASGI server.
        encoding: value of the header.
        limit: bytes of the decompressed body.
    """
    decompressor: Decompressor | None = None

    async def receive_decompressed() -> Message:
        nonlocal decompressor
        decompressor = decompressor or Decompressor(encoding, limit)
        message = await receive()
        if message["type"] != "http.request":
            return message
        piece, more = message.get("body", b""), message.get("more_body", False)
        is_large = len(piece) > _LARGE
        body = await asyncio.to_thread(decompressor.decompress, piece) if is_large else decompressor.decompress(piece)
        if not more:
            decompressor.end()
        return {"type": "http.request", "body": body, "more_body": more}

    return receive_decompressed
