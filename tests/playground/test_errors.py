"""What goes wrong is said as the service words it."""

import json

import pytest

from tests.playground.bench import Bench

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="package")]


async def test_a_bad_picture(bench: Bench) -> None:
    bench.watched.refused = True
    await bench.open("image-classification")
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n and no more"}
    await bench.page.locator("input[type=file]").set_input_files([broken])  # type: ignore[list-item]
    exchange = await bench.run()
    said = json.loads(exchange.text)
    assert exchange.status in (415, 422)
    assert await bench.shown(".error-words") == [said["error"]]
    assert "picture" in said["error"] or "PNG" in said["error"]
    assert said["request_id"] in (await bench.shown(".error-box .hint"))[0]
    assert (await bench.shown(".status"))[0].startswith(str(exchange.status))


async def test_a_text_without_a_blank(bench: Bench) -> None:
    bench.watched.refused = True
    await bench.open("fill-mask")
    await bench.page.get_by_label("Text with a blank").fill("There is nothing to fill in here.")
    await bench.run()
    assert await bench.shown(".error-words") == ["inputs has no mask; write [MASK] for the missing word"]


async def test_a_form_that_is_not_filled_in(bench: Bench) -> None:
    await bench.open("feature-extraction")
    for _ in range(4):
        await bench.page.get_by_role("button", name="Remove text 1").click()
    await bench.button.click()
    assert await bench.shown(".error-words") == ["Add a text first."]


async def test_a_service_that_is_gone(bench: Bench) -> None:
    await bench.open("fill-mask")
    await bench.page.route("**/tasks/**", lambda route: route.abort())
    await bench.button.click()
    await bench.answer.locator(".error-words").wait_for()
    assert (await bench.shown(".error-words"))[0].startswith("The service does not answer")
    bench.watched.errors.clear()  # Chromium's own line about it
