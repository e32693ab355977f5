"""What Hugging Face's clients ask for below a model's URL, asked in memory: views, their values, every bad request."""

import base64
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.requests import Request

from deployments.config import ModelConfig
from deployments.registry import KINDS, task_of
from deployments.replica.replica import Replica
from serve.apis.huggingface.paths import below_model
from serve.config.service import Limits, MediaSources
from serve.model.app import ModelApp
from serve.model.endpoint import Endpoint
from serve.routes import RouteTable
from tests.captioning_checkpoints import captioning_checkpoint
from tests.checkpoints import SENTENCES, small_checkpoint
from tests.media_requests import picture, png
from tests.nli_checkpoint import nli_checkpoint
from tests.writing_checkpoints import writing_checkpoint

LIMITS = Limits(max_body_mb=1, max_batch_items=16, request_timeout_s=60)
LABELS = ["the river", "a guitar", "Vienna"]
PICTURE = png(picture(40, 33)).data
JAVASCRIPT = {"user-agent": "@huggingface/inference/4.13.30 Node.js/20"}
GREEDY = {"max_new_tokens": 6, "do_sample": False}
MADE: dict[str, Callable[[Path], Path]] = {
    "nli": nli_checkpoint,
    "classes": lambda folder: small_checkpoint(folder, "bert", "SequenceClassification", num_labels=4),
    "vectors": lambda folder: small_checkpoint(folder, "bert", ""),
    "t5": lambda folder: writing_checkpoint(folder, "t5"),
    "llama": lambda folder: writing_checkpoint(folder, "llama", chat=True),
    "llava": lambda folder: captioning_checkpoint(folder, "llava"),
}


class Model:
    """One model's application, asked in memory."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = MADE[name](folder / name)
        pooling = {"pooling": {"mode": "mean"}} if name == "vectors" else {}
        config = ModelConfig.model_validate({"model": str(self.folder), "name": name, "device": "cpu", **pooling})
        self.replica = Replica(config, task_of(config))
        table = RouteTable([(name, task_of(config))])
        (self.route,) = table.routes
        endpoint = Endpoint(self.replica, self.route, LIMITS, MediaSources())
        self.app = ModelApp(endpoint, self.replica, self.route, LIMITS)

    async def call(self, method: str, below: str, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://test") as client:
            return await client.request(method, self.route.path + below, **options)

    async def ask(self, below: str, body: Any, status: int = 200) -> Any:
        answer = await self.call("POST", below, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Model]]:
    """A loaded model by its name in `MADE`, each loaded once."""
    root, loaded = tmp_path_factory.mktemp("huggingface"), {}

    def made(name: str) -> Model:
        if name not in loaded:
            loaded[name] = Model(name, root)
            loaded[name].replica.load()
        return loaded[name]

    yield made
    for each in loaded.values():
        each.replica.stop()


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [LABELS, LABELS[:1], "the river, a guitar"])
async def test_zero_shot_scores_are_the_pipelines(model: Any, labels: Any, multi_label: bool) -> None:
    from transformers import pipeline

    nli = model("nli")
    options = {"candidate_labels": labels, "multi_label": multi_label, "hypothesis_template": "This is about {}."}
    expected = pipeline("zero-shot-classification", model=str(nli.folder), device="cpu")(list(SENTENCES[:2]), **options)
    got = await nli.ask("/pipeline/zero-shot-classification", {"inputs": SENTENCES[:2], "parameters": options})
    for scores, pipelined in zip(got, expected, strict=True):
        assert [entry["label"] for entry in scores] == pipelined["labels"]
        assert [entry["score"] for entry in scores] == pytest.approx(pipelined["scores"], abs=1e-5)
    one = await nli.ask(
        "/pipeline/zero-shot-classification",
        {"inputs": SENTENCES[0], "parameters": {"candidateLabels" if multi_label else "candidate_labels": labels}},
    )
    assert sum(entry["score"] for entry in one) == pytest.approx(1, abs=1e-5) or len(one) == 1


@pytest.mark.parametrize("template", ["{}!", "About {0}, {0}.", "{{x}} is {}", "{!r}", "{{", "{{no place}}"])
async def test_hypothesis_templates_are_the_pipelines(model: Any, template: str) -> None:
    from transformers import pipeline

    nli = model("nli")
    options = {"candidate_labels": LABELS, "hypothesis_template": template, "multi_label": True}
    expected = pipeline("zero-shot-classification", model=str(nli.folder), device="cpu")(SENTENCES[0], **options)
    got = await nli.ask("/pipeline/zero-shot-classification", {"inputs": SENTENCES[0], "parameters": options})
    scores = dict(zip(expected["labels"], expected["scores"], strict=True))
    assert {entry["label"]: entry["score"] for entry in got} == pytest.approx(scores, abs=1e-5)


async def test_all_hypotheses_are_one_client_batch(model: Any) -> None:
    answer = await model("nli").call(
        "POST",
        "/pipeline/zero-shot-classification",
        json={"inputs": SENTENCES[0], "parameters": {"candidate_labels": LABELS}},
    )
    assert answer.headers["x-batch-size"] == "3"
    assert answer.headers["x-model"] == "nli"


async def test_similarities_are_cosines_of_the_models_vectors(model: Any) -> None:
    vectors = model("vectors")
    texts = [*SENTENCES[:3], "the river " * 200]  # the last is cut, as the client expects
    a, *others = np.array(await vectors.ask("", {"inputs": texts, "normalize": True}))
    inputs = {"source_sentence": texts[0], "sentences": texts[1:]}
    got = await vectors.ask("/pipeline/sentence-similarity", {"inputs": inputs, "parameters": {}})
    assert got == pytest.approx([float(a @ b) for b in others], abs=1e-5)


async def test_a_failed_input_of_a_partial_request_has_its_error_alone(model: Any) -> None:
    options = {"parameters": {"candidate_labels": LABELS}, "partial": True}
    below = "/pipeline/zero-shot-classification"
    first, failed, last = await model("nli").ask(below, {"inputs": [SENTENCES[0], "", SENTENCES[1]], **options})
    assert failed == {"error": "inputs is empty", "error_type": "invalid_input", "status": 422}
    assert [first, last] == await model("nli").ask(below, {"inputs": SENTENCES[:2], **options})
    image = base64.b64encode(PICTURE).decode()
    questions = [{"question": "What is this?", "image": each} for each in (image, "AAAA")]
    good, bad = await model("llava").ask(
        "/pipeline/visual-question-answering", {"inputs": questions, "parameters": GREEDY, "partial": True}
    )
    assert good[0]["answer"]
    assert bad["status"] == 415


@pytest.mark.parametrize(("view", "field"), [("summarization", "summary_text"), ("translation", "translation_text")])
async def test_texts_under_the_names_of_the_clients(model: Any, view: str, field: str) -> None:
    t5 = model("t5")
    (first,), (second,) = await t5.ask("", {"inputs": SENTENCES[:2], "parameters": GREEDY})
    parameters = {"generate_parameters": GREEDY, "truncation": "only_first", "clean_up_tokenization_spaces": False}
    one = await t5.ask(f"/pipeline/{view}", {"inputs": SENTENCES[0], "parameters": parameters})
    assert one == [{field: first["generated_text"]}]
    both = await t5.ask(f"/pipeline/{view}", {"inputs": SENTENCES[:2], "parameters": GREEDY, "stream": False})
    assert both == [{field: first["generated_text"]}, {field: second["generated_text"]}]
    partial = await t5.ask(f"/pipeline/{view}", {"inputs": [SENTENCES[0], ""], "parameters": GREEDY, "partial": True})
    assert (partial[0], partial[1]["status"]) == (one[0], 422)


async def test_an_answer_about_a_picture_has_its_likelihood(model: Any) -> None:
    llava, image = model("llava"), base64.b64encode(PICTURE).decode()
    asked = {"inputs": {"image": image, "text": "What is this?"}, "parameters": GREEDY | {"details": True}}
    (own,) = await llava.ask("", asked)
    likelihood = math.exp(sum(token["logprob"] for token in own["details"]["tokens"]))
    expected = {"answer": own["generated_text"].strip(), "score": pytest.approx(likelihood, rel=1e-3)}
    below = "/pipeline/visual-question-answering"
    python = {"inputs": image, "image": image, "question": "What is this?", "parameters": {"top_k": 2, **GREEDY}}
    assert await llava.ask(below, python) == [expected]
    javascript = {"inputs": {"question": "What is this?", "image": image}, "parameters": GREEDY}
    assert await llava.ask(below, javascript) == [expected]
    assert await llava.ask(below, javascript | {"inputs": [javascript["inputs"]] * 2}) == [[expected], [expected]]
    (searched,) = await llava.ask(below, javascript | {"parameters": GREEDY | {"num_beams": 2}})
    assert 0 < searched.get("score", 0.5) <= 1


async def test_the_javascript_client_gets_one_text_of_a_picture(model: Any) -> None:
    llava = model("llava")
    asked: Any = {"content": PICTURE, "headers": {"content-type": "image/png"}}
    (python,) = (await llava.call("POST", "", **asked)).json()
    for below in ("", "/pipeline/image-to-text"):
        answer = await llava.call("POST", below, content=PICTURE, headers=JAVASCRIPT | {"content-type": "image/png"})
        assert answer.json() == python
        assert answer.headers["x-model"] == "llava"
    refused = await llava.call("POST", "", content=b"no picture", headers=JAVASCRIPT | {"content-type": "image/png"})
    assert (refused.status_code, refused.json()["error_type"]) == (415, "unsupported_media")


async def test_a_chat_and_a_completion_below_the_url(model: Any) -> None:
    llama = model("llama")
    chat = [{"role": "user", "content": "Who wrote the letter?"}]
    (own,) = await llama.ask("", {"inputs": chat, "parameters": GREEDY})
    body = {"model": "dummy", "messages": chat, "max_tokens": 6, "temperature": 0}
    said = await llama.ask("/v1/chat/completions", body)
    assert said["choices"][0]["message"] == {"role": "assistant", "content": own["generated_text"]}
    streamed = await llama.call("POST", "/v1/chat/completions", json=body | {"stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.rstrip().endswith("data: [DONE]")
    (own,) = await llama.ask("", {"inputs": "The river rose", "parameters": GREEDY | {"return_full_text": True}})
    body = {"model": "http://test", "prompt": "The river rose", "max_tokens": 6, "do_sample": False}
    told = await llama.ask("/v1/completions", body | {"return_full_text": True})
    assert told["choices"][0]["text"] == own["generated_text"]


async def test_information_and_health(model: Any) -> None:
    t5 = model("t5")
    told = (await t5.call("GET", "/info")).json()
    expected = {"model_id": str(t5.folder), "served_model_name": "t5", "model_pipeline_tag": "text2text-generation"}
    assert told | expected == told
    assert (told["max_input_length"], told["model_dtype"], told["model_device_type"]) == (128, "float32", "cpu")
    assert (await t5.call("GET", "/health")).status_code == 200


async def test_a_model_that_loads_says_so(tmp_path: Path) -> None:
    loading = Model("classes", tmp_path)
    for method, below in [("GET", "/info"), ("GET", "/health"), ("POST", "/pipeline/zero-shot-classification")]:
        body = {"inputs": "a", "parameters": {"candidate_labels": ["b"]}} if method == "POST" else None
        answer = await loading.call(method, below, json=body)
        assert (answer.status_code, answer.json()["error_type"], answer.headers["retry-after"]) == (
            *(503, "unavailable", "5"),
        )


@pytest.mark.parametrize(("name", "alias"), [("classes", "sentiment-analysis"), ("classes", "text-classification")])
async def test_other_names_of_the_task_are_the_models_url(model: Any, name: str, alias: str) -> None:
    body = {"inputs": SENTENCES[0]}
    assert await model(name).ask(f"/pipeline/{alias}", body) == await model(name).ask("", body)


@pytest.mark.parametrize(
    ("name", "below", "body"),
    [
        ("classes", "", {"inputs": SENTENCES[:2]}),
        ("classes", "/pipeline/sentiment-analysis", {"inputs": SENTENCES[0]}),
        ("nli", "/pipeline/zero-shot-classification", {"inputs": "a", "parameters": {"candidate_labels": LABELS}}),
        ("vectors", "", {"inputs": SENTENCES[0]}),
        ("vectors", "/pipeline/sentence-similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"]}}),
        ("t5", "", {"inputs": SENTENCES[0], "parameters": GREEDY}),
        ("t5", "/pipeline/summarization", {"inputs": SENTENCES[0], "parameters": GREEDY}),
        ("t5", "/pipeline/translation", {"inputs": SENTENCES[0], "parameters": GREEDY}),
        ("llama", "/v1/completions", {"model": "llama", "prompt": "a", "max_tokens": 2}),
    ],
)
async def test_options_of_older_clients_change_nothing(model: Any, name: str, below: str, body: dict[str, Any]) -> None:
    options = {"wait_for_model": True, "use_cache": False}
    with_options, without = [await model(name).ask(below, each) for each in (body | {"options": options}, body)]
    if name == "llama":
        with_options, without = with_options["usage"], without["usage"]
    assert with_options == without


@pytest.mark.parametrize(
    ("name", "below", "body", "status", "message"),
    [
        ("classes", "zero-shot-classification", {"parameters": {"candidate_labels": LABELS}}, 422, "entailment"),
        ("nli", "zero-shot-classification", {}, 422, "parameters: is missing"),
        ("nli", "zero-shot-classification", {"parameters": {"candidate_labels": []}}, 422, "candidate_labels: list"),
        (
            *("nli", "zero-shot-classification"),
            *(
                {"parameters": {"candidate_labels": LABELS, "hypothesis_template": "This."}},
                422,
                "needs {} in place of the label",
            ),
        ),
        (
            *("nli", "zero-shot-classification"),
            *(
                {"parameters": {"candidate_labels": LABELS, "hypothesis_template": "{0.__class__}"}},
                422,
                "parameters.hypothesis_template: has the field {0.__class__}; only the label",
            ),
        ),
        ("nli", "zero-shot-classification", {"inputs": "", "parameters": {"candidate_labels": LABELS}}, 422, "empty"),
        (
            *("nli", "zero-shot-classification"),
            *({"parameters": {"candidate_labels": [f"{n}" for n in range(17)]}}, 413, "17 items"),
        ),
        ("nli", "zero-shot-classification", {"inputs": 1, "parameters": {"candidate_labels": LABELS}}, 422, "inputs"),
        ("nli", "zero-shot-classifcation", {}, 404, "did you mean 'zero-shot-classification'?"),
        ("nli", "summarization", {}, 404, "the model 'nli' has no pipeline 'summarization'; there are"),
        ("vectors", "sentence-similarity", {}, 422, "inputs"),
        ("t5", "summarization", {"stream": True}, 422, "stream: not available here"),
        ("t5", "summarization", {"inputs": ""}, 422, "inputs is empty"),
        ("t5", "summarization", {"inputs": {"text": "a"}}, 422, "inputs: should be a valid string"),
        ("t5", "summarization", {"parameters": {"min_lenght": 3}}, 422, "min_lenght: unknown field"),
        ("t5", "summarization", {"parameters": {"generate_parameters": {"top": 3}}}, 422, "parameters.top: unknown"),
        ("t5", "summarization", {"parameters": {"generate_parameters": 3}}, 422, "generate_parameters: unknown field"),
        ("t5", "summarization", {"parameters": {"truncation": "all"}}, 422, "parameters.truncation: "),
        ("t5", "summarization", {"option": 1}, 422, "option: unknown field"),
        ("t5", "summarization", {"options": {"use_gpu": True}}, 422, "options.use_gpu: unknown field"),
        ("nli", "text-classification", {"options": {"wait": True}}, 422, "options.wait: unknown field"),
        ("nli", "text-classification", {"options": {"use_cache": "no"}}, 422, "options.use_cache: should be"),
        ("t5", "translation", {"inputs": "a " * 999, "parameters": {"truncation": "do_not_truncate"}}, 422, "at most"),
        ("llava", "visual-question-answering", {"inputs": "aGk="}, 422, "question: is missing"),
        (
            "llava",
            "visual-question-answering",
            {"inputs": {"question": "Why?", "image": "aGk="}},
            415,
            "is not in a supported image format",
        ),
        ("llava", "visual-question-answering", {"parameters": {"top_k": 0}}, 422, "parameters.top_k"),
    ],
)
async def test_bad_requests(model: Any, name: str, below: str, body: Any, status: int, message: str) -> None:
    error = await model(name).ask(f"/pipeline/{below}", {"inputs": SENTENCES[0]} | body, status)
    assert message in error["error"]
    assert set(error) == {"error", "error_type", "request_id"}


@pytest.mark.parametrize(
    ("method", "below", "content", "status"),
    [
        ("POST", "/pipeline/zero-shot-classification", b"{", 400),
        ("POST", "/pipeline/zero-shot-classification", b"[]", 422),
        ("POST", "/pipeline/zero-shot-classification", b"a" * 1_100_000, 413),
        ("GET", "/pipeline/zero-shot-classification", b"", 405),
        ("POST", "/info", b"{}", 405),
        ("POST", "/nothing", b"{}", 404),
    ],
)
async def test_bad_bodies_methods_and_paths(model: Any, method: str, below: str, content: bytes, status: int) -> None:
    answer = await model("nli").call(method, below, content=content)
    assert answer.status_code == status, answer.text


async def test_what_cannot_be_handed_on_to_the_task_is_refused(model: Any) -> None:
    part = {"type": "text", "text": "Hello.", "weight": 2**70}
    for more in ({}, {"stream": True}):
        body = {"model": "m", "messages": [{"role": "user", "content": [part]}], **more}
        error = await model("llama").ask("/v1/chat/completions", body, 422)
        assert "a value that cannot be passed on: Integer exceeds 64-bit range" in error["error"]["message"]


async def test_a_chat_with_a_model_of_another_task_is_refused_in_openais_form(model: Any) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello."}]}
    error = await model("nli").ask("/v1/chat/completions", body, 422)
    assert "does text-classification, not chat" in error["error"]["message"]


@pytest.mark.parametrize(
    ("task", "asked", "body", "path"),
    [
        ("text-classification", {"below": "/info"}, b"", "/info"),
        ("text-classification", {"below": ""}, b'{"parameters":{"candidate_labels" :[]}}', "zero-shot-classification"),
        ("text-classification", {"below": ""}, b'{"parameters":{"candidateLabels":[]}}', "zero-shot-classification"),
        ("text-classification", {"below": ""}, rb'{"inputs":"\"candidate_labels\": []"}', ""),
        ("text-classification", {"below": ""}, b'{"inputs":["candidate_labels"]}', ""),
        ("text-classification", {"below": "", "task": "sentiment-analysis"}, b'{"candidate_labels":[]}', ""),
        ("feature-extraction", {"below": ""}, b'{"inputs":{"source_sentence":""}}', "sentence-similarity"),
        ("image-to-text", {"below": ""}, b'{"inputs":"","question":"Why?"}', "visual-question-answering"),
        ("question-answering", {"below": ""}, b'{"inputs":{"question":"Why?"}}', ""),
        ("text2text-generation", {"below": ""}, b'{"inputs":"a"}', ""),
        ("text2text-generation", {"below": "", "task": "translation"}, b'{"inputs":"a"}', "translation"),
        ("text2text-generation", {"below": "/health", "task": "translation"}, b"", "/health"),
    ],
)
def test_where_the_gateway_sends_a_request(task: str, asked: dict[str, str], body: bytes, path: str) -> None:
    kind = next(kind for kind in KINDS if kind.name == task)
    expected = path if path.startswith("/") or not path else f"/pipeline/{path}"
    assert below_model(Request({"type": "http", "method": "POST", "path_params": asked}), kind, body) == expected
