"""Hugging Face's own Python client, with and without threads: every call that one of the tasks can answer."""

import base64
import json
from typing import Any

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient, constants
from huggingface_hub.errors import HfHubHTTPError

from tests.clients.huggingface_calls import CALLS, INJECTION, MEDIA, Call, File, Own, close
from tests.service.running import RunningService

pytestmark = pytest.mark.ray
CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who wrote the letter?"}]
OPTIONS: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}


@pytest.fixture(autouse=True)
def _on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests forbid the client the network; here it asks nobody but the service."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def marked(call: Call) -> Any:
    shown = [pytest.mark.client("huggingface_hub", task, call=call.python[0]) for task in call.shows]
    return pytest.param(call, id=call.shows[-1], marks=shown)


def arguments(call: Call) -> dict[str, Any]:
    return {name: value.path if isinstance(value, File) else value for name, value in call.python[1].items()}


def plain(answer: Any) -> Any:
    """The client's own types as JSON; of a list of answers to a question, the best."""
    return json.loads(json.dumps(answer, default=lambda array: array.tolist()))


def best(call: Call, answer: Any) -> Any:
    return answer[0] if call.python[0] == "visual_question_answering" else answer


@pytest.mark.parametrize("call", [marked(call) for call in CALLS])
def test_a_call_gets_what_the_task_says(call: Call, request: pytest.FixtureRequest) -> None:
    service = request.getfixturevalue(call.service)
    client = InferenceClient(model=service.url + call.path)
    answer = best(call, plain(getattr(client, call.python[0])(**arguments(call))))
    assert close(answer, call.expected(Own(service))), answer


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own, for files
@pytest.mark.client("huggingface_hub", "asyncio", call="AsyncInferenceClient")
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.shows[-1])
async def test_the_client_without_threads_gets_the_same(call: Call, request: pytest.FixtureRequest) -> None:
    service = request.getfixturevalue(call.service)
    async with AsyncInferenceClient(model=service.url + call.path) as client:
        answer = best(call, plain(await getattr(client, call.python[0])(**arguments(call))))
    assert close(answer, call.expected(Own(service))), answer


@pytest.mark.client("huggingface_hub", "text-generation", call="text_generation")
@pytest.mark.client("huggingface_hub", "streams", call="text_generation(stream=True)")
@pytest.mark.parametrize("path", ["/tasks/text-generation", "/models/llama"])
def test_text_generation(service: RunningService, path: str) -> None:
    writing = InferenceClient(model=service.url + path)
    expected = Own(service).ask("/tasks/text-generation", "The river", **OPTIONS)[0]["generated_text"]
    assert writing.text_generation("The river", **OPTIONS) == expected
    told = writing.text_generation("The river", **OPTIONS, details=True)
    assert (told.generated_text, told.details.generated_tokens) == (expected, len(told.details.tokens))
    assert "".join(writing.text_generation("The river", **OPTIONS, stream=True)) == expected
    *_, last = writing.text_generation("The river", **OPTIONS, stream=True, details=True)
    assert (last.generated_text, last.details.finish_reason) == (expected, told.details.finish_reason)


@pytest.mark.client("huggingface_hub", "chat", call="chat_completion")
@pytest.mark.client("huggingface_hub", "streams", call="chat_completion(stream=True)")
@pytest.mark.parametrize("path", ["/tasks/text-generation", "/tasks/text-generation/llama", "/models/llama"])
async def test_chats(service: RunningService, path: str) -> None:
    expected = Own(service).ask("/tasks/text-generation", CHAT, **OPTIONS)[0]["generated_text"]
    options: Any = {"messages": CHAT, "max_tokens": 8, "temperature": 0}
    client = InferenceClient(model=service.url + path)
    answer = client.chat_completion(**options)
    assert (answer.choices[0].message.content, answer.usage.completion_tokens) == (expected, 8)
    assert client.chat.completions.create(**options).choices[0].message.content == expected
    pieces = client.chat_completion(**options, stream=True)
    assert "".join(piece.choices[0].delta.content for piece in pieces) == expected
    async with AsyncInferenceClient(model=service.url + path) as asynchronous:
        assert (await asynchronous.chat_completion(**options)).choices[0].message.content == expected


@pytest.mark.client("huggingface_hub", "image-to-text", "chat", call="chat_completion with images")
@pytest.mark.parametrize("path", ["/tasks/image-to-text", "/tasks/image-text-to-text", "/models/llava"])
def test_a_chat_with_a_picture(service: RunningService, path: str) -> None:
    picture = "data:image/jpeg;base64," + base64.b64encode((MEDIA / "cat.jpg").read_bytes()).decode()
    parts = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": "What is this?"}]
    chat: Any = [{"role": "user", "content": parts}]
    expected = Own(service).ask("/tasks/image-to-text", chat, **OPTIONS)[0]["generated_text"]
    answer = InferenceClient(model=service.url + path).chat_completion(chat, max_tokens=8, temperature=0)
    assert answer.choices[0].message.content == expected


@pytest.mark.client("huggingface_hub", "image-classification", call="image_classification")
def test_options_beside_a_file(embedded: RunningService) -> None:
    client = InferenceClient(model=f"{embedded.url}/tasks/image-classification")
    labels = client.image_classification(MEDIA / "cat.jpg", top_k=2)
    assert [label.label for label in labels] == ["Egyptian Mau", "a cat having a striped coat"]
    assert labels[0].score == pytest.approx(0.7822, abs=1e-3)
    client = InferenceClient(model=f"{embedded.url}/tasks/speech-recognition-seq2seq")
    heard = client.automatic_speech_recognition(
        MEDIA / "speech.ogg", extra_body={"return_timestamps": True, "generation_parameters": {"max_new_tokens": 6}}
    )
    assert heard.text.startswith(" And Mr. John")
    assert len(heard.text) < 30


@pytest.mark.client("huggingface_hub", "health", call="health_check")
@pytest.mark.client("huggingface_hub", "information", call="get_endpoint_info")
@pytest.mark.parametrize("path", ["/tasks/text2text-generation", "/tasks/summarization", "/models/t5"])
async def test_health_and_information(service: RunningService, path: str) -> None:
    client = InferenceClient(provider="hf-inference", model=service.url + path)  # others have neither
    assert client.health_check()
    told = client.get_endpoint_info()
    own = Own(service).describe("/tasks/text2text-generation")
    assert (told["model_id"], told["model_dtype"]) == (own["source"], own["dtype"])
    assert (told["model_pipeline_tag"], told["max_input_length"]) == ("text2text-generation", own["max_length"])
    async with AsyncInferenceClient(provider="hf-inference", model=service.url + path) as asynchronous:
        assert await asynchronous.health_check()
        assert await asynchronous.get_endpoint_info() == told


@pytest.mark.parametrize(
    ("path", "method", "arguments", "message"),
    [
        ("/tasks/fill-mask", "fill_mask", ["There is nothing to fill in here."], "no mask"),
        ("/tasks/zero-shot-classification", "zero_shot_classification", [INJECTION, ["one", "two"]], "entailment"),
        ("/tasks/automatic-speech", "automatic_speech_recognition", [MEDIA / "digits.wav"], "did you mean"),
        ("/tasks/text-classification", "chat_completion", [CHAT], "does text-classification, not chat"),
    ],
)
def test_an_error_has_its_words(
    embedded: RunningService, path: str, method: str, arguments: list[Any], message: str
) -> None:
    with pytest.raises(HfHubHTTPError, match=message):
        getattr(InferenceClient(model=embedded.url + path), method)(*arguments)
