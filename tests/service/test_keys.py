"""With a file of keys, every route of every application asks for one, but the health checks and the page's files."""

import threading
from subprocess import CompletedProcess

import httpx
import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.chromium import browser
from tests.command_line import run
from tests.service.configured import EVERYTHING, LIMIT, LIMITED, bearer
from tests.service.running import RunningService
from tests.watched_page import watched_page

pytestmark = pytest.mark.ray
PUBLIC = ("/health/", "/v2/health/", "/playground")
TENSORS = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}
BODIES = {
    "/v1/chat/completions": {"model": "minilm", "messages": []},
    "/v1/completions": {"model": "llama", "prompt": "a", "max_tokens": 1},
    "/v1/embeddings": {"model": "minilm", "input": "a"},
    "/v2/models/minilm/infer": TENSORS,
    "/v2/models/llama/generate": {"text_input": "a", "max_tokens": 1},
    "/v2/repository/index": {},
}


@pytest.fixture
def service(configured: RunningService) -> RunningService:
    return configured


def top(service: RunningService, *options: str) -> "CompletedProcess[str]":
    return run("top", "--url", service.url, "--once", *options)


def test_top_shows_what_models_do_to_those_with_a_key(service: RunningService) -> None:
    for given, why in ([], "requires an API key"), (["--key", "sk-wrong"], "does not know this API key"):
        refused = top(service, *given, "--interval", "0.5")
        assert refused.returncode == 1
        assert why in refused.stderr
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=service.url, headers=bearer(EVERYTHING), timeout=60) as client:
            while not over.is_set():
                assert client.post("/tasks/feature-extraction", json={"inputs": "a text"}).status_code == 200

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        shown = top(service, "--key", EVERYTHING, "--interval", "8")
    finally:
        over.set()
        asking.join()
    assert shown.returncode == 0, shown.stderr
    lines = {line.split()[0]: line.split() for line in shown.stdout.splitlines() if line}
    assert lines["llama"][1:5] == ["text-generation", "ready", "1", "0"]
    model, task, state, replicas, requests, p50, p99, *_ = lines["minilm"]
    assert (task, state, replicas) == ("feature-extraction", "ready", "1")
    assert float(requests.replace(",", "")) > 0
    assert 0 < float(p50.replace(",", "")) <= float(p99.replace(",", ""))


def test_every_route_asks_for_a_key(service: RunningService) -> None:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        routes = client.get("/openapi.json", headers=bearer(EVERYTHING)).json()["paths"]
        asked = [(method, path) for path, methods in routes.items() for method in methods]
        asked += [
            ("get", path) for path in ("/docs", "/docs/static/swagger-ui.css", "/openapi.json", "/v1/models/llama")
        ]
        asked += [("get", path) for path in ("/playground", "/playground/static/main.js")]
        asked += [("post", "/v1/audio/transcriptions"), ("post", "/tasks/embeddings"), ("post", "/nowhere")]
        asked += [("get", path) for path in ("/v2", "/v2/models", "/v2/models/minilm", "/v2/models/minilm/ready")]
        asked += [("get", "/v2/health/live"), ("get", "/v2/health/ready"), *(("post", path) for path in BODIES)]
        for method, path in asked:
            for headers in ({}, bearer("sk-wrong"), {"authorization": EVERYTHING}, {"authorization": "Bearer"}):
                answer = client.request(method, path, headers=headers, json=BODIES.get(path, {"inputs": "a"}))
                if path.startswith(PUBLIC):
                    assert answer.status_code == 200
                    continue
                assert answer.status_code == 401, (method, path, headers)
                assert answer.headers["www-authenticate"] == "Bearer"
                error = answer.json()["error"]  # in the format of the path's protocol
                assert "API key" in (error["message"] if isinstance(error, dict) else error)
            known = client.request(method, path, headers=bearer(EVERYTHING), json=BODIES.get(path, {"inputs": "a"}))
            assert known.status_code not in (401, 403), (method, path)


async def test_the_playground_says_that_a_key_is_wrong(service: RunningService) -> None:
    async with browser() as running, watched_page(running, service.url) as watched:
        watched.refused = True
        page = watched.page
        await page.goto("/playground#feature-extraction")
        refusal = page.locator(".refusal .error-words")
        assert (await refusal.inner_text()).startswith("401: an API key is required")
        for key in ("sk-wrong", EVERYTHING):
            await page.get_by_role("button", name="API key", exact=False).first.click()
            await page.get_by_label("Key", exact=True).fill(key)
            await page.get_by_role("button", name="Use this key").click()
            if key == "sk-wrong":
                await page.get_by_text("401: unknown API key").wait_for()
        await page.get_by_role("button", name="Run").click()
        await page.locator(".matrix").wait_for()
        await page.get_by_role("tab", name="curl").click()
        code = await page.locator(".snippet code").inner_text()
        assert "authorization: Bearer $AUTOMODEL_KEY" in code
        assert EVERYTHING not in await page.content()
        await page.reload()
        await page.get_by_role("button", name="Run").wait_for()  # the tab keeps it
        other = await page.context.new_page()
        await other.goto("/playground")
        await other.get_by_text("401: an API key is required").wait_for()  # another does not


def test_a_key_may_ask_its_own_models_at_its_own_rate(service: RunningService) -> None:
    with httpx.Client(base_url=service.url, headers=bearer(LIMITED), timeout=60) as client:
        for path in ("/tasks/text-generation", "/models/llama"):
            refused = client.post(path, json={"inputs": "a"})
            assert (refused.status_code, refused.json()["error_type"]) == (403, "forbidden")
        openai = client.post("/v1/completions", json=BODIES["/v1/completions"])
        assert (openai.status_code, openai.json()["error"]["code"]) == (403, "forbidden")
        answers = [client.post("/tasks/feature-extraction", json={"inputs": "a"}) for _ in range(LIMIT + 2)]
    assert [answer.status_code for answer in answers[:LIMIT]] == [200] * LIMIT
    assert answers[-1].status_code == 429
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60 / LIMIT + 1


def test_grpc_asks_for_the_same_keys(service: RunningService) -> None:
    text = tritonclient.grpc.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"a"], object))
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{service.grpc_port}") as client:
        assert client.is_server_ready()
        assert client.infer("llama", [text], headers=bearer(EVERYTHING)).as_numpy("generated_text").shape == (1, 1)
        for model, headers, code in (
            ("llama", None, "UNAUTHENTICATED"),
            ("llama", bearer("sk-wrong"), "UNAUTHENTICATED"),
            ("llama", bearer(LIMITED), "PERMISSION_DENIED"),
        ):
            for ask in (client.infer, client.get_model_metadata):
                arguments = (model, [text]) if ask == client.infer else (model,)
                with pytest.raises(InferenceServerException) as caught:
                    ask(*arguments, headers=headers)
                assert caught.value.status() == f"StatusCode.{code}"


def test_no_key_is_written_anywhere(service: RunningService) -> None:
    assert not any(key in service.log.read_text() for key in (EVERYTHING, LIMITED))
    commands = [" ".join(process.cmdline()) for process in service.processes()]
    assert not any(key in command for key in (EVERYTHING, LIMITED) for command in commands)
