"""Pictures and sound through the running service: every way in, many callers at once, and files that mean harm."""

import asyncio
import base64
import io
import struct
import wave
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from deployments.zoo.embedded import DEFAULT
from tests.service.running import RunningService

pytestmark = pytest.mark.ray

MEDIA = Path(__file__).parents[2] / "examples" / "media"
SAMPLES = {
    "image-classification": (MEDIA / "cat.jpg", "image/jpeg"),
    "audio-classification": (MEDIA / "digit.flac", "audio/flac"),
    "speech-recognition-ctc": (MEDIA / "digits.wav", "audio/wav"),
}
TASKS = tuple(SAMPLES)


def tone(seconds: float, rate: int = 8000, frequency: float = 440) -> bytes:
    samples = 9000 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


@cache
def picture(width: int, height: int) -> bytes:
    """A PNG of one colour: a few bytes for however many pixels."""
    lines = zlib.compress((b"\0" + b"\x40\x80\xc0" * width) * height, 9)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", lines), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def same(a: Any, b: Any) -> bool:
    """Equal answers: texts exactly, numbers within 1e-4."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return abs(a - b) < 1e-4 if isinstance(a, float) else bool(a == b)


@pytest.mark.parametrize("task", TASKS)
def test_every_way_in_gives_the_same_answer(client: httpx.Client, task: str) -> None:
    path, content_type = SAMPLES[task]
    file = path.read_bytes()
    text = base64.b64encode(file).decode()
    model = next(model.name for model in DEFAULT.values() if model.task == task)
    answers = [
        client.post(way, **how)
        for way in (f"/tasks/{task}", f"/models/{model}")
        for how in (
            {"content": file, "headers": {"content-type": content_type}},
            {"content": file},
            {"json": {"inputs": text}},
            {"json": {"inputs": f"data:{content_type};base64,{text}"}},
            {"files": {"file": (path.name, file, content_type)}},
        )
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers), [a.text for a in answers]
    assert all(same(answer.json(), answers[0].json()) for answer in answers)
    batch = client.post(f"/tasks/{task}", json={"inputs": [text, text]})
    assert same(batch.json(), [answers[0].json()] * 2)


def test_the_alias_of_speech_recognition(client: httpx.Client) -> None:
    file = SAMPLES["speech-recognition-ctc"][0].read_bytes()
    answers = [
        client.post(f"/tasks/{name}", content=file).json() for name in (TASKS[2], "automatic-speech-recognition")
    ]
    assert answers[0] == answers[1]
    assert answers[0]["text"].strip()


@pytest.mark.parametrize(
    ("task", "content", "content_type", "status", "message"),
    [
        ("image-classification", b"", "image/png", 422, "empty"),
        ("image-classification", b"%PDF-1.7 not a picture", "image/png", 415, "PNG"),
        ("image-classification", tone(0.1), "image/png", 415, "PNG"),
        ("image-classification", SAMPLES["image-classification"][0].read_bytes()[:5000], "image/jpeg", 422, ""),
        ("image-classification", partial(picture, 9000, 9000), "image/png", 413, "limits.max_pixels"),
        ("image-classification", picture(1, 20_000), "image/png", 422, "20,000"),
        ("image-classification", tone(0.1), "audio/wav", 415, "audio/wav"),
        ("audio-classification", b"", "audio/wav", 422, "empty"),
        ("audio-classification", picture(8, 8), "audio/wav", 415, "WAV"),
        ("audio-classification", tone(0), "audio/wav", 422, ""),
        ("audio-classification", tone(0.001), "audio/wav", 422, "ms"),
        ("audio-classification", tone(150, 4000), "audio/wav", 413, "audio.max_seconds"),
        ("speech-recognition-ctc", tone(1)[:9000], "audio/wav", 422, ""),
        ("speech-recognition-ctc", partial(tone, 2000, 4000), "audio/wav", 413, "limits.max_audio_seconds"),
    ],
)
def test_bad_files(
    client: httpx.Client,
    task: str,
    content: bytes | Callable[[], bytes],
    content_type: str,
    status: int,
    message: str,
) -> None:
    """Large ones are made here: every worker collects all tests."""
    content = content if isinstance(content, bytes) else content()
    answer = client.post(f"/tasks/{task}", content=content, headers={"content-type": content_type})
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]


def test_a_url_is_refused(client: httpx.Client) -> None:
    answer = client.post("/tasks/image-classification", json={"inputs": "http://127.0.0.1:1/cat.jpg"})
    assert answer.status_code == 422
    assert "media.allow_urls" in answer.json()["error"]


async def test_many_unlike_files_at_once_get_the_answers_that_they_get_alone(service: RunningService) -> None:
    """Good and bad ones together; what a file is answered does not depend on its neighbours."""
    recordings = [tone(0.15 + 0.07 * number, frequency=200 + 30 * number) for number in range(20)]
    recordings += [SAMPLES["speech-recognition-ctc"][0].read_bytes(), b"junk", recordings[0][:100]]
    pictures = [picture(20 + 9 * number, 30 + 5 * number) for number in range(12)]
    pictures += [SAMPLES["image-classification"][0].read_bytes(), b"junk"]
    asked = [(task, file) for task in TASKS[1:] for file in recordings] + [(TASKS[0], file) for file in pictures]
    async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:

        async def ask(task: str, file: bytes) -> tuple[int, Any]:
            answer = await client.post(f"/tasks/{task}", content=file)
            body = answer.json()
            return answer.status_code, body.get("error_type") if isinstance(body, dict) and "error" in body else body

        alone = [await ask(*one) for one in asked]
        together = await asyncio.gather(*(ask(*one) for one in asked))
    assert {status for status, _ in alone} == {200, 415, 422}
    for (status, body), (expected_status, expected) in zip(together, alone, strict=True):
        assert status == expected_status
        assert same(body, expected)


def test_bombs_cost_a_replica_no_memory(service: RunningService, client: httpx.Client) -> None:
    names = [model.name for model in DEFAULT.values() if model.task in TASKS]
    replicas: list[psutil.Process] = [process for name in names for process in service.replicas(name)]
    for task in TASKS:
        client.post(f"/tasks/{task}", content=SAMPLES[task][0].read_bytes())
    before = [process.memory_info().rss for process in replicas]
    for _ in range(5):
        assert client.post(f"/tasks/{TASKS[0]}", content=picture(12_000, 12_000)).status_code == 413
        assert client.post(f"/tasks/{TASKS[1]}", content=tone(3000, 4000)).status_code == 413
        assert client.post(f"/tasks/{TASKS[2]}", content=tone(3000, 4000)).status_code == 413
    grown = [process.memory_info().rss - old for process, old in zip(replicas, before, strict=True)]
    assert max(grown) < 200 * 2**20, grown
