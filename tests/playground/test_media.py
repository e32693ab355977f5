"""The ways to a picture and a recording: dropped, pasted, taken with the camera, recorded from the microphone."""

import json
import struct
from pathlib import Path

import pytest

from tests.playground.bench import Bench

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="package")]

MEDIA = Path(__file__).parents[2] / "examples/media"
# A file as the operating system would hand it to the page, made of bytes; and the two ways to do so.
FILE = "const transfer = new DataTransfer(); transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));"
OPTIONS = "bubbles: true, cancelable: true"
EVENTS = {
    "drop": "document.querySelector('.drop')"
    f".dispatchEvent(new DragEvent('drop', {{ dataTransfer: transfer, {OPTIONS} }}))",
    "paste": f"document.dispatchEvent(new ClipboardEvent('paste', {{ clipboardData: transfer, {OPTIONS} }}))",
}
CAT, DIGITS = (MEDIA / "cat.jpg").read_bytes(), (MEDIA / "digits.wav").read_bytes()


async def hand_over(bench: Bench, how: str, content: bytes, name: str, kind: str) -> None:
    given = {"bytes": list(content), "name": name, "type": kind}
    await bench.page.evaluate(f"({{ bytes, name, type }}) => {{ {FILE} {EVENTS[how]} }}", given)
    await bench.page.get_by_text(name).wait_for()


@pytest.mark.parametrize("how", ["drop", "paste"])
async def test_a_picture_is_dropped_or_pasted(bench: Bench, how: str) -> None:
    await bench.open("image-to-text")
    await hand_over(bench, how, CAT, "cat.jpg", "image/jpeg")
    exchange = await bench.run()
    assert CAT in exchange.body


async def test_a_recording_is_dropped(bench: Bench) -> None:
    await bench.open("audio-classification")
    await hand_over(bench, "drop", DIGITS, "digits.wav", "audio/wav")
    exchange = await bench.run()
    assert exchange.body == DIGITS


async def test_a_photo_is_taken(bench: Bench) -> None:
    await bench.open("image-classification")
    await bench.page.get_by_role("button", name="Take a photo").click()
    await bench.page.get_by_role("button", name="Take it").click()
    await bench.page.get_by_text("photo.jpg").wait_for()
    exchange = await bench.run()
    assert exchange.status == 200
    assert exchange.body.startswith(b"\xff\xd8\xff")


async def test_sound_is_recorded_and_converted(bench: Bench) -> None:
    """What Chromium records is Opus in WebM; what is sent is one channel of 16 bits at 16,000 samples a second."""
    await bench.open("speech-recognition-ctc")
    await bench.page.get_by_role("button", name="Record").click()
    await bench.page.wait_for_timeout(1200)
    await bench.page.get_by_role("button", name="Stop (").click()
    await bench.page.get_by_text("recording.wav").wait_for()
    await bench.page.locator(".wave.is-played path").wait_for(state="attached")  # drawn once it is decoded
    exchange = await bench.run()
    assert exchange.status == 200, exchange.text
    sent = exchange.body
    at = sent.index(b"RIFF")
    assert struct.unpack("<HHIIHH", sent[at + 20 : at + 36]) == (1, 1, 16000, 32000, 2, 16)
    assert "text" in json.loads(exchange.text)
