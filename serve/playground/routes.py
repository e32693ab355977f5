"""The playground's routes: static files, which need no key, as a browser cannot send one with them.

The page's JavaScript then calls the service, which needs a key if the service requires one.
"""

from pathlib import Path

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE = "/playground"
FOLDER = Path(__file__).parent / "static"

# Nothing from other hosts, nothing inline; dropped or recorded images and audio are blobs of the page.
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",
    "media-src": "'self' blob: data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}
HEADERS = {
    "content-security-policy": "; ".join(f"{name} {sources}" for name, sources in _POLICY.items()),
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # A browser revalidates each file, so that old and new modules do not mix after an update.
    "cache-control": "no-cache",
}


class PageFiles(StaticFiles):
    """The page's files, each with `HEADERS`."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def playground_routes() -> list[BaseRoute]:
    """`/playground`, and its files below `/playground/static`."""
    files = PageFiles(directory=FOLDER)
    compressed = [Middleware(GZipMiddleware, minimum_size=1024)]

    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    return [Route(PAGE, page, middleware=compressed), Mount(f"{PAGE}/static", files, middleware=compressed)]
