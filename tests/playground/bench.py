"""Bench: the form of one task on the page, as a person uses it."""

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tests.watched_page import WatchedPage

if TYPE_CHECKING:
    from playwright.async_api import Locator

PAGE = "/playground"
# Chromium does not tell what files a request carries, so the page's own `fetch` notes what it is given.
NOTING = """
const fetched = window.fetch;
window.fetch = async (address, options) => {
  if (options?.method === 'POST') {
    const request = new Request(address, options);
    const reader = new FileReader();
    reader.readAsDataURL(new Blob([await request.clone().arrayBuffer()]));
    await new Promise((resolve) => (reader.onload = resolve));
    window.sent = { type: request.headers.get('content-type'), body: reader.result.split(',')[1] ?? '' };
    return fetched(request);
  }
  return fetched(address, options);
};
"""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of the page, and what it was answered."""

    url: str
    content_type: str
    body: bytes
    status: int
    text: str

    @property
    def path(self) -> str:
        return httpx.URL(self.url).path

    async def asked_again(self) -> Any:
        """The JSON that the service's own route answers to the same request from another client."""
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(self.url, content=self.body, headers={"content-type": self.content_type})
        return answer.json()


class Bench:
    """Playwright's page with the words of this one."""

    def __init__(self, watched: WatchedPage) -> None:
        self.watched = watched
        self.page = watched.page
        self._notes = False

    async def open(self, task: str = "") -> None:
        """Wait until a task's form is filled with its example; the first task's without a name."""
        if not self._notes:
            self._notes = True
            await self.page.add_init_script(NOTING)
        await self.page.goto(f"{PAGE}#{task}")
        await self.page.locator("html[data-ready]").wait_for()
        bench = f".bench[data-task='{task}']" if task else ".bench"
        await self.page.locator(".status-page" if task == "status" else bench).wait_for()

    async def turn_to(self, task: str) -> None:
        """The same by the list of tasks."""
        await self.page.locator(f"#tasks a[href='#{task}']").click()
        await self.page.locator(f"#tasks a[href='#{task}'][aria-current]").wait_for()
        await self.page.locator(f".bench[data-task='{task}']").wait_for()

    async def run(self) -> Exchange:
        """Press the button and wait for the answer to be shown."""
        async with self.page.expect_response(lambda response: response.request.method == "POST") as told:
            await self.button.click()
        response = await told.value
        await self.page.locator(".answer-head").wait_for()
        await self.page.locator(".run:not(.is-running)").wait_for()
        sent = await self.page.evaluate("window.sent")
        body = base64.b64decode(sent["body"])
        return Exchange(response.url, sent["type"], body, response.status, await response.text())

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
