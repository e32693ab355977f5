"""Debian's Chromium without a screen: on the path, or where `make chromium` unpacks it; driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser

UNPACKED = Path(__file__).parents[1] / ".chromium"
FONTS = Path(__file__).parent / "playground" / "fonts.conf"
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# A page that asks for camera or microphone gets ones that Chromium makes up.
ARGUMENTS = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--disable-gpu"]


def chromium() -> str:
    """The program's path; skips the test where there is none."""
    unpacked = UNPACKED / "usr/lib/chromium/chromium-headless-shell"
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None and unpacked.exists():
        return str(unpacked)
    if found is None:
        pytest.skip("no Chromium on this machine; on Debian `make chromium` fetches it")
    return found


def environment() -> dict[str, str | float | bool]:
    """With the libraries and fonts that were unpacked beside the program."""
    libraries = sorted({str(library.parent) for library in UNPACKED.glob("usr/lib/*-linux-gnu/**/*.so*")})
    own = {"LD_LIBRARY_PATH": ":".join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")])} if libraries else {}
    fonts = {"FONTCONFIG_FILE": str(FONTS)} if (UNPACKED / "usr/share/fonts").exists() else {}
    return {**os.environ, **own, **fonts}


@asynccontextmanager
async def browser() -> AsyncIterator["Browser"]:
    """A running Chromium."""
    program = chromium()
    playwright = pytest.importorskip("playwright.async_api", reason="Playwright is not installed")
    async with playwright.async_playwright() as driver:
        running = await driver.chromium.launch(executable_path=program, args=ARGUMENTS, env=environment())
        try:
            yield running
        finally:
            await running.close()
