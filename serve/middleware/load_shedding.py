"""Load shedding: while a replica is full, a request is refused before Ray and the model's application handle it.

Ray spends as much on a refused request as on an answered one: tasks, contexts, metrics of its own. At ten times the
load that a model can answer, refusals would hold the interpreter lock when the model's thread needs it.

The decision is made without awaiting anything, so that every request in progress is one that Ray knows: Ray counts
them to scale, and waits for them before it stops a replica. The middleware stack surrounds the refusal, too: a request
without a key still gets 401, and a refusal is counted like any other response.
"""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.errors import Overloaded
from serve.cluster.haproxy_overload import FULL
from serve.http.errors import send_error

REFUSAL = "automodel.refusal"  # key in the scope of a refused request; its value is the error

_refusal_app: ASGIApp | None = None
_refusal_of: Callable[[Scope], Overloaded | None]


def install(refusal_app: ASGIApp, refusal_of: Callable[[Scope], Overloaded | None]) -> None:
    """Shed load in this process, which runs one replica.

    Args:
        refusal_app: `RefusalApp` with the replica's middleware around it.
        refusal_of: the error if a request is refused now, whoever sends it; else None.
    """
    global _refusal_app, _refusal_of
    _refusal_app, _refusal_of = refusal_app, refusal_of


class RefusalApp:
    """Answers a request with its `REFUSAL`.

    Args:
        is_full: whether HAProxy may refuse requests itself for a moment (`serve.cluster.haproxy_overload`).
    """

    def __init__(self, is_full: Callable[[], bool]) -> None:
        self._is_full = is_full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_error(scope, send, scope[REFUSAL], [(FULL.encode(), b"1")] if self._is_full() else [])


class LoadSheddingMiddleware:
    """Stands before Ray's handling of a request.

    Args:
        app: Ray's application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _refusal_app is not None and scope["type"] == "http":
            refusal = _refusal_of(scope)
            if refusal is not None:
                scope[REFUSAL] = refusal
                await _refusal_app(scope, receive, send)
                return
        await self._app(scope, receive, send)
