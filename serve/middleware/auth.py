"""AuthMiddleware: passes on requests with a valid API key, and answers all others."""

import math
from typing import Any

from deployments.errors import Forbidden, Overloaded, Unauthenticated
from serve.http.errors import send_error
from serve.http.messages import Headers, Receive, Scope, Send, header
from serve.middleware.api_keys import Key, KeyRing, RateLimiter

SCHEME = "bearer "


def authenticate(ring: KeyRing, authorization: str | None) -> Key:
    """The key in the value of an `Authorization` header.

    Raises:
        Unauthenticated: the header is missing, or its key is unknown.
    """
    if authorization is None:
        raise Unauthenticated("an API key is required: send the header `Authorization: Bearer KEY`")
    is_bearer = authorization.lower().startswith(SCHEME)
    key = ring.find(authorization[len(SCHEME) :].strip()) if is_bearer else None
    if key is None:
        raise Unauthenticated("unknown API key")
    return key


class AuthMiddleware:
    """Requires `Authorization: Bearer KEY` on every path except the public ones.

    Args:
        app: the application.
        ring: the keys.
        public: prefixes of paths that need no key.
        model: the model behind it: keys may be limited to some models, and requests count towards a key's rate. None
            for the gateway, behind which each model checks the key again.
    """

    def __init__(self, app: Any, ring: KeyRing, *, public: tuple[str, ...] = (), model: str | None = None) -> None:
        self._app = app
        self._ring = ring
        self._public = public
        self._model = model
        self._rate_limiter = RateLimiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(self._public or ("\0",)):
            try:
                self._authorize(authenticate(self._ring, header(scope, b"authorization")))
            except (Unauthenticated, Forbidden, Overloaded) as error:
                is_401 = isinstance(error, Unauthenticated)
                headers: Headers = [(b"www-authenticate", b"Bearer")] if is_401 else []
                await send_error(scope, send, error, headers)
                return
        await self._app(scope, receive, send)

    def _authorize(self, key: Key) -> None:
        if self._model is None:
            return
        if key.models is not None and self._model not in key.models:
            raise Forbidden(f"the key {key.name!r} may not use the model {self._model!r}")
        if wait := self._rate_limiter.wait(key):
            rate = f"{key.requests_per_minute:g} requests a minute"
            raise Overloaded(f"the key {key.name!r} is limited to {rate}; retry later", retry_after=math.ceil(wait))
