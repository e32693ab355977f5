"""Pictures of the page: `make screenshots` keeps them in docs/images, every other run in a folder for the moment."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.playground.bench import Bench
from tests.service.running import RunningService
from tests.watched_page import watched_page

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="package")]

FOLDER = "PLAYGROUND_IMAGES"
TAKEN = {
    "light": ["token-classification", "feature-extraction", "text-generation", "status"],
    "dark": ["text-classification", "speech-recognition-ctc", "image-classification", "status"],
}
COLOURS = 128


@pytest.mark.parametrize("scheme", TAKEN)
async def test_pictures(browser: "Browser", embedded: RunningService, scheme: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get(FOLDER) or tmp_path)
    size = {"width": 1360, "height": 860}
    async with watched_page(browser, embedded.url, color_scheme=scheme, viewport=size) as watched:
        bench = Bench(watched)
        for task in TAKEN[scheme]:
            await bench.open(task)
            if task == "status":
                await bench.page.locator(".state.is-ready").first.wait_for()
                if FOLDER in os.environ:
                    await bench.page.wait_for_timeout(60_000)  # charts that have something to show
            else:
                await bench.run()
            await bench.page.evaluate("document.activeElement.blur()")
            file = folder / f"playground-{task}-{scheme}.png"
            await bench.page.screenshot(path=file)
            Image.open(file).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
            assert file.stat().st_size > 10_000
