"""Headers with which any client could steer Ray Serve, taken away before Ray reads them.

`x-request-timeout-seconds` would switch the service's own limit off or bring Ray's plain 408, and
`x-request-disconnect-disabled` would keep a request in line whose client has gone. The first is handed on to us as
`timeout` (`serve.http.messages`), for clients that know it from Ray. And only HAProxy says what it has refused
(`serve.cluster.haproxy_gate`): where it does not, nobody does.

Ray learns of this module by `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`, in every process that listens.
"""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.cluster.haproxy_gate import REFUSED_BEFORE, is_gated
from serve.middleware.load_shedding import Shortcut

RENAMED = {b"x-request-timeout-seconds": b"timeout"}
DROPPED = frozenset({b"x-request-disconnect-disabled"})
STEERING = DROPPED | RENAMED.keys()
_UNHEARD = frozenset() if is_gated() else frozenset({REFUSED_BEFORE.encode()})

_TAKEN_AWAY = DROPPED | _UNHEARD
_HANDLED = STEERING | _UNHEARD


class RayHeaders:
    """Takes the headers away."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if any(name in _HANDLED for name, _ in scope.get("headers", ())):
            scope["headers"] = [
                (RENAMED.get(name, name), value) for name, value in scope["headers"] if name not in _TAKEN_AWAY
            ]
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Ray puts around its own handling of a request."""
    return [Middleware(RayHeaders), Middleware(Shortcut)]
