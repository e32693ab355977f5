"""Reading `multipart/form-data`."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from deployments.errors import MalformedRequest

MAX_FIELDS = 100


@asynccontextmanager
async def form_of(body: bytes, content_type: str, *, max_files: int) -> AsyncIterator[FormData]:
    """The form in a body; its files are closed on the way out.

    Args:
        body: the whole body, within its limit.
        content_type: with the boundary.
        max_files: beyond so many it is refused.

    Raises:
        MalformedRequest: the body is no form.
    """

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""  # as a stream ends

    headers = Headers({"content-type": content_type})
    parser = MultiPartParser(headers, pieces(), max_files=max_files, max_fields=MAX_FIELDS, max_part_size=len(body) + 1)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"the body is not a form ({getattr(error, 'message', error)})") from error
    try:
        yield form
    finally:
        await form.close()
