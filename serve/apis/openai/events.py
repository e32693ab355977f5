"""A stream of OpenAI's chunks, as server-sent events that end with `[DONE]`."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson
from starlette.responses import StreamingResponse

DONE = b"data: [DONE]\n\n"


async def event_stream(chunks: AsyncGenerator[dict[str, Any], None], end: bytes = DONE) -> StreamingResponse:
    """The answer once its first chunk is there: what goes wrong before that has a status of its own.

    Args:
        chunks: of the answer.
        end: what follows the last one.

    Raises:
        Refused: the model answered with an error.
    """
    first = await anext(chunks)

    async def lines() -> AsyncGenerator[bytes, None]:
        try:
            yield _line(first)
            async for chunk in chunks:
                yield _line(chunk)
            yield end
        finally:
            await chunks.aclose()

    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(lines(), media_type="text/event-stream", headers=headers)


def _line(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
