"""Forms: bodies of type multipart/form-data."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from deployments.errors import MalformedRequest

FORM = "multipart/form-data"
FILE_FIELDS = ("file", "inputs")
MAX_FIELDS = 100


@asynccontextmanager
async def open_form(body: bytes, content_type: str, *, max_files: int) -> AsyncIterator[FormData]:
    """Parse a body as a form; its files are closed at the end.

    Args:
        body: the whole body, within its limit.
        content_type: with the boundary.
        max_files: that are accepted.

    Raises:
        MalformedRequest: the body is not a form.
    """

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""  # the end of the stream

    headers = Headers({"content-type": content_type})
    parser = _FormParser(headers, chunks(), max_files=max_files, max_fields=MAX_FIELDS, max_part_size=len(body) + 1)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"the body is not a form ({getattr(error, 'message', error)})") from error
    try:
        yield form
    finally:
        await form.close()


class _FormParser(MultiPartParser):
    """Takes a part in a file's field for a file also if it has no file name, which Starlette takes for a text."""

    def on_headers_finished(self) -> None:
        part = self._current_part
        _, options = parse_options_header(part.content_disposition)
        if options.get(b"name", b"").decode("latin-1") in FILE_FIELDS and b"filename" not in options:
            part.content_disposition = (part.content_disposition or b"") + b'; filename=""'
        super().on_headers_finished()
