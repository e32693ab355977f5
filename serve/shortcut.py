"""Shortcut: while a replica is full, requests go past Ray's bookkeeping to the application, which refuses them.

Ray spends as much on a request that is refused as on one that is answered: tasks, contexts, metrics of its own. Under
ten times the load that a model can answer, refusals hold the interpreter when the model thread asks for it.

A request goes the short way only if it will be refused before anything is awaited, so that no request is under way
that Ray does not know of: it counts them to scale, and waits for them before it ends a replica.
"""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

_application: ASGIApp | None = None
_is_refused: Callable[[Scope], bool]


def open_to(application: ASGIApp, is_refused: Callable[[Scope], bool]) -> None:
    """Have this process, which is one replica's, take the short way.

    Args:
        application: the replica's, with its layers.
        is_refused: whether the application would refuse a request here and now, whoever sends it.
    """
    global _application, _is_refused
    _application, _is_refused = application, is_refused


class Shortcut:
    """Stands before Ray's handling of a request.

    Args:
        ray: that handling.
    """

    def __init__(self, ray: ASGIApp) -> None:
        self._ray = ray

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _application is not None and scope["type"] == "http" and _is_refused(scope):
            await _application(scope, receive, send)
            return
        await self._ray(scope, receive, send)
