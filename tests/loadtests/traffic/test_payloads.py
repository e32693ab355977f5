"""The payloads of callers, read by the service's body reader and by each task's preprocessing."""

import json
import random
import statistics
from typing import Any

import pytest

from deployments.checkpoints.files import EMBEDDED_PREFIX, resolve
from deployments.registry import KINDS, TASKS
from deployments.zoo.embedded import DEFAULT, EMBEDDED
from deployments.zoo.package import PackageUnavailable
from loadtests.traffic.callers import (
    BATCH_SIZES,
    CALLERS,
    CHAT_STREAM,
    CLIENT_BATCH,
    LONG_TEXT,
    LONG_WORDS,
    MEDIA,
    SHORT_TEXT,
    Caller,
)
from loadtests.traffic.media_samples import media_samples
from loadtests.traffic.payload import Kind, Payload
from serve.config.service import Limits
from serve.http.body import BodyReader
from tests.checkpoints import load_task

DRAWS = 25
PAIRS = [(caller, kind) for caller in CALLERS for kind in KINDS if caller.accepts(kind)]
every_pair = pytest.mark.parametrize(
    ("caller", "kind"), PAIRS, ids=lambda value: value.name if isinstance(value, Caller) else value.__name__
)


def payloads(caller: Caller, kind: Kind, count: int = DRAWS) -> list[Payload]:
    rng = random.Random(3)
    return [caller.payload(kind, rng) for _ in range(count)]


async def read(kind: Kind, payload: Payload) -> Any:
    """Read a body as a replica does."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": payload.content, "more_body": False}

    headers = [(b"content-type", payload.content_type.encode())]
    scope = {"type": "http", "headers": headers}
    return await BodyReader(kind.request, kind.medium, Limits()).read(scope, receive)


def words(value: Any) -> int:
    if isinstance(value, str):
        return len(value.split())
    return sum(map(words, value.values() if isinstance(value, dict) else value))


def test_every_task_has_callers_and_text_tasks_have_several() -> None:
    assert {kind.name for _, kind in PAIRS} == set(TASKS)
    for kind in KINDS:
        names = {caller.name for caller, asked in PAIRS if asked is kind}
        assert names == {"media"} if kind.medium != "text" else {"short text"} < names
    assert {caller.name for caller, _ in PAIRS} == {caller.name for caller in CALLERS}


@every_pair
async def test_the_service_reads_the_payloads(caller: Caller, kind: Kind) -> None:
    for payload in payloads(caller, kind):
        request = await read(kind, payload)
        assert isinstance(request, kind.request)
        assert isinstance(request.inputs, list) == (caller is CLIENT_BATCH)
        assert getattr(request, "stream", False) == payload.streams == (caller is CHAT_STREAM)


@every_pair
def test_payloads_differ_and_the_same_seed_gives_the_same(caller: Caller, kind: Kind) -> None:
    made = payloads(caller, kind)
    assert made == payloads(caller, kind)
    assert len({payload.content for payload in made}) > DRAWS / 2


@pytest.mark.parametrize("name", DEFAULT)
async def test_each_embedded_model_preprocesses_the_payloads(name: str) -> None:
    kind = TASKS[EMBEDDED[name].task]
    try:
        task = load_task(kind, resolve(EMBEDDED_PREFIX + name), layout=None)
    except PackageUnavailable as error:
        pytest.skip(f"an embedded model cannot be built here: {error}")
    for caller in CALLERS:
        if caller.accepts(kind):
            for payload in payloads(caller, kind, 8):
                request = await read(kind, payload)
                items = task.split(request)
                assert len(items) == payload.items
                assert all(task.preprocess(item).rows for item in items)


def test_the_example_stays_in_front() -> None:
    for kind in (kind for kind in KINDS if kind.medium == "text"):
        example = json.dumps(kind.example["inputs"])
        longest = max((part for part in json.loads(f"[{example}]")), key=len)
        texts = [longest] if isinstance(longest, str) else [*longest.values()]
        for payload in payloads(LONG_TEXT if LONG_TEXT.accepts(kind) else SHORT_TEXT, kind, 5):
            inputs = json.loads(payload.content)["inputs"]
            sent = [inputs] if isinstance(inputs, str) else [*inputs.values()]
            for old, new in zip(texts, sent, strict=True):
                assert new == old or (isinstance(new, str) and new.startswith(old))


def test_lengths_are_log_normal_between_their_bounds() -> None:
    kind = TASKS["feature-extraction"]
    long = [words(json.loads(each.content)["inputs"]) for each in payloads(LONG_TEXT, kind, 300)]
    assert statistics.median(long) == pytest.approx(LONG_WORDS.median, rel=0.1)
    assert statistics.mean(long) > statistics.median(long)
    assert min(long) >= LONG_WORDS.min
    short = [words(json.loads(each.content)["inputs"]) for each in payloads(SHORT_TEXT, kind, 300)]
    assert statistics.median(short) == pytest.approx(20, rel=0.2)
    sizes = [each.items for each in payloads(CLIENT_BATCH, kind, 300)]
    assert (min(sizes), statistics.median(sizes)) == (BATCH_SIZES.min, BATCH_SIZES.median)
    assert max(sizes) > 3 * BATCH_SIZES.median


def test_files_are_real_and_generated_ones_of_many_sizes() -> None:
    for medium, least in (("image", 2), ("audio", 3)):
        files = media_samples(medium)  # type: ignore[arg-type]
        assert len({content_type for _, content_type in files}) >= least
        sizes = [len(content) for content, _ in files]
        assert max(sizes) > 5 * statistics.median(sizes)
    assert {payload.content_type for payload in payloads(MEDIA, TASKS["audio-classification"], 100)} == {
        "audio/flac",
        "audio/ogg",
        "audio/wav",
    }
