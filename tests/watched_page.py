"""WatchedPage: a page in the browser that notes what must not happen: errors in the console, and other hosts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

# What Chromium itself writes for every answer that is an error; where a test means to get one, it is none.
REFUSED = "Failed to load resource: the server responded with a status of"


class WatchedPage:
    """A page of one service.

    Attributes:
        page: Playwright's.
        errors: what was written to the console as an error, and exceptions that nobody caught.
        foreign: addresses of other hosts that were asked for.
        refused: whether answers may be errors.
    """

    def __init__(self, page: "Page", url: str) -> None:
        self.page = page
        self.refused = False
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda message: self._noted(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._asked(request.url, url))

    def _noted(self, kind: str, text: str) -> None:
        if kind == "error" and not (self.refused and text.startswith(REFUSED)):
            self.errors.append(text)

    def _asked(self, address: str, url: str) -> None:
        if not address.startswith((url, "blob:", "data:")):
            self.foreign.append(address)

    def check(self) -> None:
        assert not self.errors
        assert not self.foreign


@asynccontextmanager
async def watched_page(browser: "Browser", url: str, **options: Any) -> AsyncIterator[WatchedPage]:
    """A fresh page, as of somebody who was never here; checked once it is no longer needed.

    Args:
        browser: that runs.
        url: of the service.
        options: of Playwright's context, such as `viewport` and `color_scheme`.
    """
    context = await browser.new_context(base_url=url, **options)
    context.set_default_timeout(20_000)
    try:
        watched = WatchedPage(await context.new_page(), url)
        yield watched
        watched.check()
    finally:
        await context.close()
