"""Shortcut: while a replica is full, requests go past Ray's bookkeeping and the model's application to a refusal.

Ray spends as much on a request that is refused as on one that is answered: tasks, contexts, metrics of its own. Under
ten times the load that a model can answer, refusals hold the interpreter when the model thread asks for it.

A request goes the short way only if it is refused before anything is awaited, so that no request is under way that Ray
does not know of: it counts them to scale, and waits for them before it ends a replica. The layers stand around the
short way, too: who has no key is told so, and a refusal is counted like any answer.
"""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.errors import Overloaded
from serve.cluster.haproxy_gate import FULL
from serve.http.errors import error_answer
from serve.http.messages import request_id, send_json

REFUSAL = "automodel.refusal"  # in the scope of a request that is refused: why

_refusing: ASGIApp | None = None
_refusal: Callable[[Scope], Overloaded | None]


def open_to(refusing: ASGIApp, refusal: Callable[[Scope], Overloaded | None]) -> None:
    """Have this process, which is one replica's, take the short way.

    Args:
        refusing: `Refuse` with the replica's layers around it.
        refusal: why a request is refused here and now, whoever sends it; None where it is not.
    """
    global _refusing, _refusal
    _refusing, _refusal = refusing, refusal


class Refuse:
    """The application at the end of the short way.

    Args:
        is_full: whether HAProxy may refuse by itself for a moment (`serve.cluster.haproxy_gate`).
    """

    def __init__(self, is_full: Callable[[], bool]) -> None:
        self._is_full = is_full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, body, headers = error_answer(scope[REFUSAL], request_id(scope))
        if self._is_full():
            headers.append((FULL.encode(), b"1"))
        await send_json(send, status, body, headers)


class Shortcut:
    """Stands before Ray's handling of a request.

    Args:
        ray: that handling.
    """

    def __init__(self, ray: ASGIApp) -> None:
        self._ray = ray

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _refusing is not None and scope["type"] == "http":
            refusal = _refusal(scope)
            if refusal is not None:
                scope[REFUSAL] = refusal
                await _refusing(scope, receive, send)
                return
        await self._ray(scope, receive, send)
