"""The outermost middleware: creates every request's id and context, and reports the request at its end."""

import asyncio
from collections.abc import Callable
from typing import Any

from serve.http.messages import Headers, Receive, Scope, Send, header, new_request_id
from serve.http.request_context import CANCELLED, RequestContext, set_context
from serve.http.server_timing import total_entry
from serve.middleware.tracing import RequestSpans

OnRequestEnd = Callable[[Scope, RequestContext], None]


class RequestContextMiddleware:
    """Creates the `RequestContext` of each request and fills in its status, size and trace.

    Args:
        app: the application.
        on_end: called once for every request when it is over.
        headers: added to every response that does not have them.
        timing_name: of this application in `Server-Timing`, if a proxied response has its own entries.
        spans: traces requests; None if they are not traced.
    """

    def __init__(
        self,
        app: Any,
        *,
        on_end: OnRequestEnd,
        headers: Headers | None = None,
        timing_name: bytes = b"total",
        spans: RequestSpans | None = None,
    ) -> None:
        self._app = app
        self._on_end = on_end
        self._headers = headers or []
        self._timing_name = timing_name
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(_ensure_request_id(scope))
        if self._spans is not None:
            context.trace = self._spans.begin(scope, context.request_id)
        set_context(context)

        async def observed_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                context.status = context.status or message["status"]
                message["headers"] = self._complete(list(message.get("headers", ())), context)
            else:
                context.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        except asyncio.CancelledError:
            context.status = CANCELLED
            raise
        except BaseException:
            context.status = 500
            raise
        finally:
            if self._spans is not None:
                self._spans.end(scope, context)
            self._on_end(scope, context)

    def _complete(self, headers: Headers, context: RequestContext) -> Headers:
        """Response headers with the application's own and the time that the request took."""
        places = {name.lower(): place for place, (name, _) in enumerate(headers)}
        context.is_proxied = b"x-model" in places
        headers += [(name, value) for name, value in self._headers if name not in places]
        if b"server-timing" not in places:
            headers.append((b"server-timing", total_entry(context.began)))
        elif self._timing_name != b"total":  # proxied: the model's times, then the time in total here
            place = places[b"server-timing"]
            entry = total_entry(context.began, self._timing_name)
            headers[place] = (b"server-timing", headers[place][1] + b", " + entry)
        return headers


def _ensure_request_id(scope: Scope) -> str:
    """The request's id. A new one is added to the request's headers, from where Ray copies it into the response."""
    sent = header(scope, b"x-request-id")
    if sent is not None:
        return sent
    made = new_request_id()
    scope["headers"] = [*scope["headers"], (b"x-request-id", made.encode())]
    return made
