"""These tests use the page at /playground as people do, in a real browser, with the embedded models behind it."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.chromium import browser as running_browser
from tests.playground.bench import Bench
from tests.service.running import RunningService
from tests.watched_page import watched_page

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator["Browser"]:
    async with running_browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="package")
async def bench(browser: "Browser", embedded: RunningService) -> AsyncIterator[Bench]:
    """The page, not opened yet."""
    async with watched_page(browser, embedded.url, viewport={"width": 1280, "height": 900}) as watched:
        yield Bench(watched)


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def same_page(browser: "Browser", embedded: RunningService) -> AsyncIterator[Bench]:
    """A page on which several tests turn from task to task, as a visitor does."""
    async with watched_page(browser, embedded.url, viewport={"width": 1280, "height": 900}) as watched:
        yield Bench(watched)
