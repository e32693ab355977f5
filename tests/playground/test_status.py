"""The live page: states and figures of every model, from the service's own metrics."""

import asyncio

import httpx
import pytest

from deployments.zoo.embedded import DEFAULT
from tests.playground.bench import Bench
from tests.service.running import RunningService

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="package")]


async def test_what_models_do_is_seen(bench: Bench, embedded: RunningService) -> None:
    await bench.open("status")
    assert await bench.page.locator(".model-card h2").all_inner_texts() == list(DEFAULT)
    await bench.page.locator(".state.is-ready").nth(len(DEFAULT) - 1).wait_for()
    card = bench.page.locator(".model-card", has=bench.page.get_by_role("link", name="minilm", exact=True))
    requests = card.locator(".figure", has_text="Requests/s").locator("dd")
    async with httpx.AsyncClient(base_url=embedded.url, timeout=60) as client:
        for _ in range(60):
            await asyncio.gather(*(client.post("/tasks/feature-extraction", json={"inputs": "a"}) for _ in range(4)))
            if (await requests.inner_text()) not in ("–", "0.0"):
                break
            await asyncio.sleep(0.2)
    assert float(await requests.inner_text()) > 0
    p50, p99 = (await card.locator(".figure", has_text="p50").locator("dd").inner_text()).split(" · ")
    assert p50.endswith("s")
    assert p99.endswith("s")
    assert "rows" in await card.locator(".figure", has_text="Batch").locator("dd").inner_text()
    assert await card.locator(".chart-line").first.get_attribute("d")


async def test_a_model_that_loads_says_how_far_it_is(bench: Bench) -> None:
    states = {
        "minilm": {"state": "downloading", "replicas": 0, "progress": "40 %"},
        "pii": {"state": "ready", "replicas": 2},
    }
    states["facts-qa"] = {"state": "failed", "replicas": 0, "reason": "no weights for the head"}
    ready = {"status": "loading", "models": states}
    bench.watched.refused = True
    await bench.page.route("**/health/ready", lambda route: route.fulfill(status=503, json=ready))
    await bench.open("status")
    await bench.page.get_by_text("1 of 3 models ready").wait_for()
    for model, words in {
        "minilm": "downloading 40 %",
        "pii": "ready 2 replicas",
        "facts-qa": "failed no weights for the head",
    }.items():
        card = bench.page.locator(".model-card", has=bench.page.get_by_role("link", name=model, exact=True))
        assert " ".join((await card.locator(".state-line").inner_text()).split()) == words
