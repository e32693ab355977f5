"""Pictures of the page: `make screenshots` keeps them in docs/images, every other run in a folder for the moment."""

import asyncio
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from PIL import Image

from deployments.registry import TASKS
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
COLOURS = 256
SECONDS = 60  # of some traffic, so that the charts have something to show


async def ask_a_little(url: str) -> None:
    """As if a few people used the service, now more and now less."""
    draw = random.Random(1)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            kinds = draw.choices(list(TASKS.values()), k=draw.randrange(1, 9))
            await asyncio.gather(*(client.post(f"/tasks/{kind.name}", json=kind.example) for kind in kinds))
            await asyncio.sleep(draw.uniform(0.05, 0.5))


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
                    await ask_a_little(embedded.url)
            else:
                await bench.run()
            await bench.page.evaluate("document.activeElement.blur()")
            await bench.page.mouse.move(0, 400)
            file = folder / f"playground-{task}-{scheme}.png"
            await bench.page.screenshot(path=file)
            picture = Image.open(file).convert("RGB")
            picture.quantize(COLOURS, kmeans=2, dither=Image.Dither.NONE).save(file, optimize=True)
            assert file.stat().st_size > 10_000
