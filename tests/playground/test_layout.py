"""For everybody: narrow screens, the keyboard, screen readers, both themes; and quickly there."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serve.playground.routes import PAGE
from tests.playground.bench import Bench
from tests.playground.test_tasks import SHOWN
from tests.service.running import RunningService
from tests.watched_page import watched_page

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="package")]

AXE = Path(__file__).parent / "javascript/node_modules/axe-core/axe.min.js"
TO_LOOK_AT = [*SHOWN, "status"]
# The themes differ in nothing but colours.
RULES: dict[str, Any] = {"light": {"resultTypes": ["violations"]}, "dark": {"runOnly": ["color-contrast"]}}
INTERACTIVE_MS = 5_000  # lavish, for a machine that does other things meanwhile; the page itself wants less than 1,000


async def faults(bench: Bench, part: str, options: Any) -> list[Any]:
    """What axe-core holds to be serious or worse in a part of the page; it is told `options`."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed; `make javascript` does it")
    # By the debugger's way in, which the page's policy does not bind.
    if not await bench.page.evaluate("'axe' in window"):
        await bench.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await bench.page.evaluate("async (asked) => (await axe.run(...asked)).violations", [part, options])
    return [
        (fault["id"], [node["html"][:200] for node in fault["nodes"]], fault["nodes"][0]["failureSummary"])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", RULES)
async def test_axe_finds_no_serious_fault(browser: "Browser", embedded: RunningService, scheme: str) -> None:
    async with watched_page(browser, embedded.url, color_scheme=scheme, reduced_motion="reduce") as watched:
        bench = Bench(watched)
        found = {}
        for task in TO_LOOK_AT:
            await bench.open(task)
            if task != "status":
                await bench.run()
            found[task] = await faults(bench, "#main" if found else "html", RULES[scheme])  # what is around stays
        assert not {task: each for task, each in found.items() if each}


async def test_nothing_is_wider_than_a_small_phone(browser: "Browser", embedded: RunningService) -> None:
    async with watched_page(browser, embedded.url, viewport={"width": 360, "height": 720}, has_touch=True) as watched:
        bench = Bench(watched)
        for task in TO_LOOK_AT:
            await bench.open(task)
            if task != "status":
                await bench.run()
                await bench.page.locator("summary").evaluate("summary => (summary.parentElement.open = true)")
            width = await bench.page.evaluate("document.documentElement.scrollWidth")
            assert width == 360, task


async def test_with_the_keyboard_alone(bench: Bench) -> None:
    await bench.open("fill-mask")
    await bench.page.keyboard.press("Tab")
    assert await bench.page.evaluate("document.activeElement.textContent") == "Skip to the form"
    await bench.page.keyboard.press("Enter")
    assert await bench.page.evaluate("document.activeElement.id") == "main"
    await bench.page.get_by_label("Text with a blank").focus()
    await bench.page.keyboard.press("Control+Enter")
    await bench.page.locator(".answer-head").wait_for()
    assert "Answer 200 after" in await bench.page.get_by_role("status").inner_text()
    await bench.page.get_by_role("tab", name="JSON").focus()
    await bench.page.keyboard.press("ArrowRight")
    assert await bench.page.evaluate("document.activeElement.textContent") == "curl"
    assert "curl -s" in await bench.page.get_by_role("tabpanel").inner_text()


async def test_the_theme_can_be_chosen(bench: Bench) -> None:
    await bench.open("fill-mask")
    colour = "() => getComputedStyle(document.documentElement).backgroundColor"
    light = await bench.page.evaluate(colour)
    await bench.page.get_by_role("button", name="Dark colours").click()
    assert await bench.page.evaluate(colour) != light
    await bench.page.reload()
    assert await bench.page.evaluate(colour) != light
    await bench.page.get_by_role("button", name="Light colours").click()
    assert await bench.page.evaluate(colour) == light


async def test_it_is_soon_there(bench: Bench) -> None:
    """From the first byte asked for until a form can be sent."""
    await bench.open()
    told = await bench.page.evaluate(
        """() => JSON.stringify({
          interactive: performance.getEntriesByName('interactive')[0].startTime,
          bytes: performance.getEntriesByType('resource').filter((each) => each.name.includes('/playground/'))
            .reduce((sum, each) => sum + each.transferSize, performance.getEntriesByType('navigation')[0].transferSize),
        })"""
    )
    measured = json.loads(told)
    print(f"interactive after {measured['interactive']:.0f} ms, {measured['bytes'] / 1000:.1f} KB for the first form")
    assert measured["interactive"] < INTERACTIVE_MS
    assert measured["bytes"] < 150_000


async def test_the_page_is_linked(bench: Bench) -> None:
    answer = await bench.page.request.get("/")
    assert (await answer.json())["links"]["playground"] == PAGE
