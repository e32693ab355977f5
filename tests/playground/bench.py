"""Bench: the form of one task on the page, as a person uses it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tests.watched_page import WatchedPage

if TYPE_CHECKING:
    from playwright.async_api import Locator, Request

PAGE = "/playground"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of the page, and what it was answered."""

    request: "Request"
    status: int
    text: str

    @property
    def path(self) -> str:
        return httpx.URL(self.request.url).path

    async def asked_again(self) -> Any:
        """The JSON that the service's own route answers to the same request from another client."""
        headers = {"content-type": (await self.request.all_headers())["content-type"]}
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(self.request.url, content=self.request.post_data_buffer, headers=headers)
        return answer.json()


class Bench:
    """Playwright's page with the words of this one."""

    def __init__(self, watched: WatchedPage) -> None:
        self.watched = watched
        self.page = watched.page

    async def open(self, task: str = "") -> None:
        """Wait until a task's form is filled with its example; the first task's without a name."""
        await self.page.goto(f"{PAGE}#{task}")
        await self.page.locator("html[data-ready]").wait_for()
        await self.page.locator(".form, .status-page, .refusal").first.wait_for()

    async def turn_to(self, task: str) -> None:
        """The same by the list of tasks."""
        await self.page.locator(f"#tasks a[href='#{task}']").click()
        await self.page.locator(f"#tasks a[href='#{task}'][aria-current]").wait_for()
        await self.page.locator(".form").wait_for()

    async def run(self) -> Exchange:
        """Press the button and wait for the answer to be shown."""
        async with self.page.expect_response(lambda response: response.request.method == "POST") as told:
            await self.button.click()
        response = await told.value
        await self.page.locator(".answer-head").wait_for()
        await self.page.locator(".run:not(.is-running)").wait_for()
        return Exchange(response.request, response.status, await response.text())

    @property
    def button(self) -> "Locator":
        return self.page.locator("button.run")

    @property
    def answer(self) -> "Locator":
        return self.page.locator(".answer")

    async def shown(self, selector: str) -> list[str]:
        """The texts of what is shown of the answer."""
        return [" ".join(text.split()) for text in await self.answer.locator(selector).all_inner_texts()]

    async def code(self, tab: str) -> str:
        """What stands under a tab."""
        await self.answer.get_by_role("tab", name=tab, exact=True).click()
        return str(await self.answer.locator(".snippet code").inner_text())
