"""What the metrics say of two models with two replicas each, also while replicas die, hang and fail."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from loadtests.bench.encoders import build_tiny
from tests.service.moody_service import MODELS
from tests.service.running import RunningService

EXPORTED_S = 60.0  # until what was counted must be seen, on a machine that is busy with other things
REPLACED_S = 120.0
JSON = {"content-type": "application/json"}

pytestmark = pytest.mark.ray

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def moody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("moody")
    program = ("tests.service.moody_service",)
    with RunningService(str(build_tiny(folder)), log=folder / "log", program=program) as running:
        yield running


def scrape(service: RunningService) -> Samples:
    text = httpx.get(f"{service.url}/metrics", timeout=30).raise_for_status().text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """Over all series of this name with these labels."""
    wanted = set(labels.items())
    return sum(value for (each, has), value in samples.items() if each == f"ray_automodel_{name}" and wanted <= has)


def outcomes(samples: Samples, model: str) -> Counter[str]:
    return Counter(
        {
            dict(has)["outcome"]: int(value)
            for (name, has), value in samples.items()
            if name == "ray_automodel_requests_total" and ("model", model) in has and value
        }
    )


def until(service: RunningService, model: str, expected: Counter[str]) -> Samples:
    """The metrics once they say so; what they say instead fails the test."""
    end = time.monotonic() + EXPORTED_S
    while outcomes(samples := scrape(service), model) != expected and time.monotonic() < end:
        time.sleep(0.5)
    assert outcomes(samples, model) == expected
    return samples


async def post(client: httpx.AsyncClient, path: str, content: str, **headers: str) -> int:
    """The status of the model's answer; what the front itself answers while a replica dies is asked again."""
    for _ in range(10):
        try:
            answer = await client.post(path, content=content, headers=JSON | headers)
        except httpx.RemoteProtocolError:
            # What a killed replica had not read yet makes the kernel reset its connection; HAProxy does not repeat it.
            continue
        if "x-model" in answer.headers:
            return answer.status_code
        await asyncio.sleep(0.5)
    raise AssertionError("no model answers")


def body(text: str) -> str:
    return f'{{"inputs": "{text}"}}'


async def all_kinds(service: RunningService, model: str) -> None:
    """Requests of every outcome, by the model's own path and by the gateway."""
    async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
        # HAProxy does not decode paths, so that this name leads to the gateway.
        paths = [f"/tasks/moody/{model}", f"/models/%{ord(model[0]):x}{model[1:]}"]
        good = await asyncio.gather(*(post(client, paths[n % 2], body("fine")) for n in range(40)))
        bad = await asyncio.gather(*(post(client, paths[n % 2], "{") for n in range(6)))
        wrong = await asyncio.gather(*(post(client, paths[n % 2], '{"inputs": 7}') for n in range(4)))
        failing = [await post(client, paths[n % 2], body("fail")) for n in range(3)]
        late = [await post(client, paths[n % 2], body("slow"), timeout="0.1") for n in range(2)]
    assert (set(good), set(bad), set(wrong), set(failing), set(late)) == ({200}, {400}, {422}, {500}, {504})


def test_n_requests_are_n_in_the_metrics(moody: RunningService) -> None:
    for model in MODELS:
        asyncio.run(all_kinds(moody, model))
    kinds = Counter(ok=40, client_error=10, error=3, expired=2)
    until(moody, MODELS[0], kinds)
    samples = until(moody, MODELS[1], kinds)
    end = time.monotonic() + EXPORTED_S  # the gateway exports by itself
    while total(samples, "gateway_requests_total", api="models") < 2 * 27 and time.monotonic() < end:
        time.sleep(0.5)
        samples = scrape(moody)
    for model in MODELS:
        assert total(samples, "rejected_total", model=model, reason="malformed_request") == 6
        assert total(samples, "rejected_total", model=model, reason="invalid_input") == 4
        assert total(samples, "request_seconds_count", model=model) == 40
        assert total(samples, "items_total", model=model) == 40
        for part in ("queue", "preprocess", "forward", "postprocess"):
            assert total(samples, f"{part}_seconds_count", model=model) == 40
        assert total(samples, "request_seconds_bucket", model=model, le="+Inf") == 40
        assert total(samples, "batch_rows_sum", model=model) >= 40
        assert total(samples, "batch_rows_sum", model=model) >= total(samples, "batch_rows_count", model=model)
        assert total(samples, "model_ready", model=model) == 2
        assert total(samples, "model_memory_bytes", model=model) > 0
    assert total(samples, "gateway_requests_total", api="models", code="200") == 2 * 20
    assert total(samples, "gateway_requests_total", api="models", code="400") == 2 * 3
    assert total(samples, "build_info") == 1


def test_a_client_that_leaves_is_counted_once(moody: RunningService) -> None:
    """As cancelled, or as answered where the front has not told the replica."""
    before = outcomes(scrape(moody), "second")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{moody.url}/tasks/moody/second", content=body("slower"), headers=JSON, timeout=0.5)
    end = time.monotonic() + EXPORTED_S
    while not (more := outcomes(scrape(moody), "second") - before) and time.monotonic() < end:
        time.sleep(0.5)
    assert more in (Counter(cancelled=1), Counter(ok=1))


def test_the_exposition_is_well_formed(moody: RunningService) -> None:
    plain = httpx.get(f"{moody.url}/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    types = {family.name: family.type for family in parse(plain.text)}
    assert types["ray_automodel_request_seconds"] == "histogram"
    assert types["ray_automodel_requests"] == "counter"
    assert types["ray_automodel_model_ready"] == "gauge"
    accept = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    answer = httpx.get(f"{moody.url}/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in parse_openmetrics(answer.text)}
    assert {name for name, kind in types.items() if kind != "gauge"} <= names  # gauges come and go


def test_nothing_is_lost_or_counted_twice_when_a_replica_is_killed(moody: RunningService) -> None:
    before = outcomes(scrape(moody), "first")

    async def while_one_dies() -> list[int]:
        async with httpx.AsyncClient(base_url=moody.url, timeout=60) as client:
            in_hand = [asyncio.create_task(post(client, "/tasks/moody/first", body("slower"))) for _ in range(8)]
            await asyncio.sleep(0.5)  # both replicas have some of them, and have answered none
            os.kill(moody.replicas("first")[0].pid, signal.SIGKILL)
            more = [post(client, "/tasks/moody/first", body("fine")) for _ in range(20)]
            return list(await asyncio.gather(*in_hand, *more))

    assert asyncio.run(while_one_dies()) == [200] * 28
    until(moody, "first", before + Counter(ok=28))


def until_replaced(service: RunningService, pids: set[int], model: str) -> None:
    """Wait for two replicas that answer, not all of them those of before."""
    end = time.monotonic() + REPLACED_S
    while True:
        now = {process.pid for process in service.replicas(model)}
        if len(now) == 2 and now != pids and total(scrape(service), "model_ready", model=model) == 2:
            return
        assert time.monotonic() < end, f"{pids} are {now} now"
        time.sleep(1)


def ask(service: RunningService, text: str, **headers: str) -> httpx.Response:
    path = f"{service.url}/tasks/moody/second"
    return httpx.post(path, content=body(text), headers=JSON | headers, timeout=30)


@pytest.mark.parametrize(("text", "status"), [("hang", 504), ("break", 500)])
def test_a_replica_whose_model_hangs_or_fails_is_replaced(moody: RunningService, text: str, status: int) -> None:
    until_replaced(moody, set(), "first")  # the machine is busy with one start at a time
    until_replaced(moody, set(), "second")
    pids = {process.pid for process in moody.replicas("second")}
    loads = total(scrape(moody), "model_loads_total", model="second", outcome="ready")
    assert ask(moody, text, timeout="1").status_code == status
    until_replaced(moody, pids, "second")
    assert all(ask(moody, "fine").status_code == 200 for _ in range(10))
    samples: Any = scrape(moody)
    assert total(samples, "model_loads_total", model="second", outcome="ready") == loads + 1
    if text == "break":
        assert total(samples, "canaries_total", model="second", outcome="failed") >= 1
