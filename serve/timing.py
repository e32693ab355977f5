"""`Server-Timing` for answers that no model gave: the whole time, in milliseconds."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send


def total(began: float) -> bytes:
    """The header's entry for the time since `began` (`time.perf_counter()`)."""
    return b"total;dur=%.2f" % ((time.perf_counter() - began) * 1e3)


class Timing:
    """Adds the header where the answer has none yet; a model's answer, passed on, brings its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def send_timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                if not any(name == b"server-timing" for name, _ in headers):
                    headers.append((b"server-timing", total(began)))
            await send(message)

        await self._app(scope, receive, send_timed)
