"""Layers: what stands around every application, the gateway's and each model's, since each is reached by itself.

From the outside in: every request is noted, headers are limited, browsers of listed origins let in, keys asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from serve.config.service import Options
from serve.http.messages import Headers, Receive, Scope, Send
from serve.middleware.api_keys import KeyRing
from serve.middleware.auth import Guard
from serve.middleware.limits import BodyMemory, HeaderLimit
from serve.middleware.request_context import Access, Ended
from serve.middleware.tracing import RequestSpans

# What a page may read of an answer, beside the headers that it always may.
EXPOSED = (
    "x-request-id",
    "x-model",
    "x-batch-size",
    "x-padding-ratio",
    "x-truncated-inputs",
    "x-prompt-tokens",
    "x-generated-tokens",
    "server-timing",
    "retry-after",
)


def layers(
    options: Options,
    ended: Ended,
    *,
    model: str | None = None,
    public: tuple[str, ...] = (),
    spans: RequestSpans | None = None,
) -> list[Middleware]:
    """The layers of one application, outermost first.

    Args:
        options: of the service.
        ended: told of every request once it is over.
        model: whose application it is, which a key may be limited to; None for the gateway.
        public: beginnings of paths that need no key.
        spans: that requests are traced with; None where they are not.
    """
    own: Headers = [] if model is None else [(b"x-model", model.encode())]
    name = b"gateway" if model is None else b"total"
    made = [Middleware(Access, ended=ended, headers=own, name=name, spans=spans)]
    made.append(Middleware(HeaderLimit, most=int(options.limits.max_header_kb * 1024)))
    if options.cors.allow_origins:
        made.append(
            Middleware(
                CORSMiddleware,
                allow_origins=options.cors.allow_origins,
                allow_methods=("GET", "POST"),
                allow_headers=("*",),
                expose_headers=EXPOSED,
                max_age=options.cors.max_age_s,
            )
        )
    if options.auth.api_keys_file is not None:
        made.append(Middleware(Guard, ring=KeyRing(Path(options.auth.api_keys_file)), public=public, model=model))
    most = int(options.limits.max_bodies_mb * 1024 * 1024)
    made.append(Middleware(BodyMemory, most=most, longest=options.limits.body.size))
    return made


class Layered:
    """An application with its layers around it."""

    # Ray asks an application for its routes on every request; a model's has none beyond its prefix.
    routes: tuple[()] = ()
    router = SimpleNamespace(redirect_slashes=False)

    def __init__(self, app: Any, around: Sequence[Middleware]) -> None:
        for layer in reversed(around):
            app = layer.cls(app, *layer.args, **layer.kwargs)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
