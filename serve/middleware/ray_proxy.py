"""Removes the headers by which a client could control Ray Serve, before Ray reads them.

`x-request-timeout-seconds` would disable the service's own timeout or cause Ray's plain 408; it is renamed to our
`timeout` (`serve.http.messages`), for clients that know it from Ray. `x-request-disconnect-disabled` would keep a
request queued after its client has disconnected. The count of HAProxy's refusals (`serve.cluster.haproxy_overload`) is
believed only if HAProxy itself sets it.

Ray imports `middlewares` by `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`, in every process that listens.
"""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.cluster.haproxy_overload import REFUSED_BEFORE, has_overload_rules
from serve.middleware.load_shedding import LoadSheddingMiddleware
from serve.middleware.uvicorn_tick import tick_less_often

RENAMED = {b"x-request-timeout-seconds": b"timeout"}
DROPPED = frozenset({b"x-request-disconnect-disabled"})
STEERING = DROPPED | RENAMED.keys()
_UNTRUSTED = frozenset() if has_overload_rules() else frozenset({REFUSED_BEFORE.encode()})

_REMOVED = DROPPED | _UNTRUSTED
_HANDLED = STEERING | _UNTRUSTED


class RayHeadersMiddleware:
    """Removes or renames the headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if any(name in _HANDLED for name, _ in scope.get("headers", ())):
            scope["headers"] = [
                (RENAMED.get(name, name), value) for name, value in scope["headers"] if name not in _REMOVED
            ]
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Ray puts around its own handling of a request. Ray asks before it starts the server."""
    tick_less_often()
    return [Middleware(RayHeadersMiddleware), Middleware(LoadSheddingMiddleware)]
