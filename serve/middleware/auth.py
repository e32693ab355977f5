"""Guard: lets requests with a valid key through to an ASGI application, and answers all others."""

import math
from typing import Any

from deployments.errors import Forbidden, Overloaded, Unauthenticated
from serve.http.errors import error_answer
from serve.http.messages import Receive, Scope, Send, header, request_id, send_json
from serve.middleware.api_keys import Key, KeyRing, Rate

SCHEME = "bearer "


def known_key(ring: KeyRing, given: str | None) -> Key:
    """The key in the value of an `Authorization` header.

    Raises:
        Unauthenticated: none, or none that is known.
    """
    if given is None:
        raise Unauthenticated("an API key is needed: send the header `Authorization: Bearer KEY`")
    key = ring.find(given[len(SCHEME) :].strip()) if given.lower().startswith(SCHEME) else None
    if key is None:
        raise Unauthenticated("this API key is not known here")
    return key


class Guard:
    """Asks for `Authorization: Bearer KEY` on every path but the public ones.

    Args:
        app: what is guarded.
        ring: the keys.
        public: beginnings of paths that need none.
        model: the model behind it, which a key may be limited to; its requests count towards the key's rate. None for
            the gateway, behind which a model asks once more.
    """

    def __init__(self, app: Any, ring: KeyRing, *, public: tuple[str, ...] = (), model: str | None = None) -> None:
        self._app = app
        self._ring = ring
        self._public = public
        self._model = model
        self._rate = Rate()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(self._public or ("\0",)):
            try:
                self._check(known_key(self._ring, header(scope, b"authorization")))
            except (Unauthenticated, Forbidden, Overloaded) as error:
                status, body, headers = error_answer(error, request_id(scope))
                if status == Unauthenticated.status:
                    headers.append((b"www-authenticate", b"Bearer"))
                await send_json(send, status, body, headers)
                return
        await self._app(scope, receive, send)

    def _check(self, key: Key) -> None:
        if self._model is None:
            return
        if key.models is not None and self._model not in key.models:
            raise Forbidden(f"the key {key.name!r} may not ask the model {self._model!r}")
        if wait := self._rate.wait(key):
            most = f"{key.requests_per_minute:g} requests a minute"
            raise Overloaded(f"the key {key.name!r} may make {most}; try again later", retry_after=math.ceil(wait))
