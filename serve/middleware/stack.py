"""The middleware stack of every application. The gateway and each model have their own, as each is reached directly.

From the outside in: responses to HTTP/1.0, path and error format, request context, header limit, CORS, authentication,
body memory, content encoding.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from serve.cluster.haproxy import REROUTED
from serve.config.service import Options
from serve.http.errors import ERROR_FORMAT, ErrorFormat
from serve.http.messages import Headers, Receive, Scope, Send
from serve.middleware.api_keys import KeyRing
from serve.middleware.auth import AuthMiddleware
from serve.middleware.content_encoding import ContentEncodingMiddleware
from serve.middleware.http_1_0 import HTTP10Middleware
from serve.middleware.limits import BodyMemoryMiddleware, HeaderLimitMiddleware
from serve.middleware.request_context import OnRequestEnd, RequestContextMiddleware
from serve.middleware.tracing import RequestSpans
from serve.routes import Route

# Response headers that a web page may read, beside those that CORS always allows.
EXPOSED_HEADERS = (
    "x-request-id",
    "x-model",
    "x-batch-size",
    "x-padding-ratio",
    "x-truncated-inputs",
    "x-ignored-fields",
    "x-prompt-tokens",
    "x-generated-tokens",
    "server-timing",
    "retry-after",
)


def build_middleware(
    options: Options,
    on_end: OnRequestEnd,
    error_format_of: Callable[[str], ErrorFormat],
    *,
    route: Route | None = None,
    public: tuple[str, ...] = (),
    spans: RequestSpans | None = None,
) -> list[Middleware]:
    """The middleware of one application, outermost first.

    Args:
        options: of the service.
        on_end: called once for every request when it is over.
        error_format_of: the error format of a path.
        route: to the application's model, to which an API key may be limited; None for the gateway.
        public: prefixes of paths that need no key.
        spans: traces requests; None if they are not traced.
    """
    headers: Headers = [] if route is None else [(b"x-model", route.model.encode())]
    timing_name = b"gateway" if route is None else b"total"
    stack = [
        Middleware(HTTP10Middleware),
        Middleware(PathMiddleware, prefix="" if route is None else route.prefix, error_format_of=error_format_of),
        Middleware(RequestContextMiddleware, on_end=on_end, headers=headers, timing_name=timing_name, spans=spans),
        Middleware(HeaderLimitMiddleware, max_bytes=int(options.limits.max_header_kb * 1024)),
    ]
    if options.cors.allow_origins:
        stack.append(
            Middleware(
                CORSMiddleware,
                allow_origins=options.cors.allow_origins,
                allow_methods=("GET", "POST"),
                allow_headers=("*",),
                expose_headers=EXPOSED_HEADERS,
                max_age=options.cors.max_age_s,
            )
        )
    if options.auth.api_keys_file is not None:
        ring = KeyRing(Path(options.auth.api_keys_file))
        model = None if route is None else route.model
        stack.append(Middleware(AuthMiddleware, ring=ring, public=public, model=model))
    max_bytes, max_body_bytes = int(options.limits.max_bodies_mb * 1024 * 1024), options.limits.body.size
    stack.append(Middleware(BodyMemoryMiddleware, max_bytes=max_bytes, max_body_bytes=max_body_bytes))
    stack.append(Middleware(ContentEncodingMiddleware, max_body_bytes=max_body_bytes))
    return stack


class PathMiddleware:
    """Gives a request that HAProxy has rerouted its original path again, and every request its path's error format.

    Args:
        app: the application.
        prefix: its route prefix.
        error_format_of: the error format of a path.
    """

    def __init__(self, app: Any, prefix: str, error_format_of: Callable[[str], ErrorFormat]) -> None:
        self._app = app
        self._rerouted = f"{prefix}{REROUTED}/"
        self._error_format_of = error_format_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path.startswith(self._rerouted):
                path = path[len(self._rerouted) - 1 :]
                scope = dict(scope) | {"path": path, "root_path": ""}
            scope[ERROR_FORMAT] = self._error_format_of(path)
        await self._app(scope, receive, send)


class WrappedApp:
    """An application with its middleware around it."""

    # Ray asks an application for its routes on every request; a model's has none beyond its prefix.
    routes: tuple[()] = ()
    router = SimpleNamespace(redirect_slashes=False)

    def __init__(self, app: Any, stack: Sequence[Middleware]) -> None:
        for middleware in reversed(stack):
            app = middleware.cls(app, *middleware.args, **middleware.kwargs)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
