"""The outermost middleware: every request gets its id, its headers and its context here, and is reported once, whatever
became of it."""

import asyncio
from collections.abc import Callable
from typing import Any

from serve.http.messages import Headers, Receive, Scope, Send, header, new_request_id
from serve.http.request_context import CANCELLED, Record, keep
from serve.http.server_timing import total
from serve.middleware.tracing import RequestSpans

Ended = Callable[[Scope, Record], None]


class Access:
    """Notes what passes.

    Args:
        app: the application.
        ended: told of every request once it is over.
        headers: what every answer has, unless it has it already.
        name: of this part in `Server-Timing`, where an answer that was passed on has its own times.
        spans: that requests are traced with; None where they are not.
    """

    def __init__(
        self,
        app: Any,
        *,
        ended: Ended,
        headers: Headers | None = None,
        name: bytes = b"total",
        spans: RequestSpans | None = None,
    ) -> None:
        self._app = app
        self._ended = ended
        self._headers = headers or []
        self._name = name
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = Record(_identify(scope))
        if self._spans is not None:
            record.trace = self._spans.begin(scope, record.request_id)
        keep(record)

        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                record.status = record.status or message["status"]
                message["headers"] = self._completed(list(message.get("headers", ())), record)
            else:
                record.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:
            record.status = CANCELLED
            raise
        except BaseException:
            record.status = 500
            raise
        finally:
            if self._spans is not None:
                self._spans.end(scope, record)
            self._ended(scope, record)

    def _completed(self, headers: Headers, record: Record) -> Headers:
        places = {name.lower(): place for place, (name, _) in enumerate(headers)}
        record.is_passed_on = b"x-model" in places
        headers += [(name, value) for name, value in self._headers if name not in places]
        if b"server-timing" not in places:
            headers.append((b"server-timing", total(record.began)))
        elif self._name != b"total":  # passed on: the model's times, and the whole time here
            place = places[b"server-timing"]
            headers[place] = (b"server-timing", headers[place][1] + b", " + total(record.began, self._name))
        return headers


def _identify(scope: Scope) -> str:
    """The request's id, which stands in its headers from now on. Ray's front puts it into every answer."""
    sent = header(scope, b"x-request-id")
    if sent is not None:
        return sent
    made = new_request_id()
    scope["headers"] = [*scope["headers"], (b"x-request-id", made.encode())]
    return made
