"""LiteLLM, LangChain, LlamaIndex and Haystack, in an environment of their own: they want older packages than ours."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.running import RunningService

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".clients/bin/python"
PROGRAM = Path(__file__).parent / "frameworks/ask.py"

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not PYTHON.exists(), reason="the clients are not installed; `make clients` does it"),
]
TEXTS = ["A man plays a guitar.", "Somebody makes music."]
QUERY, DOCUMENTS = "music", [*TEXTS, "The river rose in the night."]
CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who wrote the letter?"}]
PROMPT = "The river"
PICTURE = base64.b64encode((ROOT / "examples/media/cat.jpg").read_bytes()).decode()
QUESTION = "What is this?"
SPEECH = ROOT / "examples/media/speech.ogg"
GREEDY = {"max_new_tokens": 8, "do_sample": False}
OPTIONS = {"max_tokens": 8, "temperature": 0}


class Frameworks:
    """The process that asks; it imports each package once."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [PYTHON, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, call: str, url: str, **arguments: Any) -> Any:
        """The answer of the package's call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": call, "url": url, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        assert "answer" in told, told["error"]
        return told["answer"]

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def frameworks() -> Iterator[Frameworks]:
    frameworks = Frameworks()
    yield frameworks
    frameworks.close()


def own(service: RunningService, task: str, inputs: Any, **parameters: Any) -> Any:
    body = {"inputs": inputs} | ({"parameters": parameters} if parameters else {})
    return httpx.post(f"{service.url}/tasks/{task}", json=body, timeout=60).json()


def written(service: RunningService, task: str, inputs: Any) -> str:
    text: str = own(service, task, inputs, **GREEDY)[0]["generated_text"]
    return text


def shows(client: str, *abilities: str, call: str, path: str, **arguments: Any) -> Any:
    """The function in `frameworks/ask.py`, the path and the arguments; and the row in the table of clients."""
    name, _, function = call.partition(": ")
    return pytest.param(
        function or name, path, arguments, marks=pytest.mark.client(client, *abilities, call=name), id=f"{name}-{path}"
    )


VECTORS = "feature-extraction"
CHATS = ("chat", "streams", "text-generation")


@pytest.mark.parametrize(
    ("call", "path", "arguments"),
    [
        shows("LiteLLM", VECTORS, call="embedding: litellm_embedding", path="/v1", model="openai/minilm"),
        shows("LiteLLM", VECTORS, call="embedding: litellm_embedding", path="/v1", model="hosted_vllm/minilm"),
        shows("LiteLLM", VECTORS, call="embedding: litellm_embedding", path="/v1/embeddings", model="jina_ai/minilm"),
        shows(
            "LiteLLM",
            VECTORS,
            call="embedding: litellm_embedding",
            path="/tasks/feature-extraction",
            model="huggingface/minilm",
            input_type="feature-extraction",
        ),
        shows(
            "langchain-huggingface",
            VECTORS,
            call="HuggingFaceInferenceAPIEmbeddings: langchain_inference_api_embeddings",
            path="/tasks/feature-extraction",
        ),
        shows("LlamaIndex", VECTORS, call="OpenAILikeEmbedding: llama_index_embeddings", path="/v1", model="minilm"),
        shows("LlamaIndex", VECTORS, call="TextEmbeddingsInference: llama_index_tei", path="", model="minilm"),
        shows("Haystack", VECTORS, call="OpenAIDocumentEmbedder: haystack_embeddings", path="/v1", model="minilm"),
    ],
)
def test_vectors(service: RunningService, frameworks: Frameworks, call: str, path: str, arguments: Any) -> None:
    found = frameworks.ask(call, service.url + path, texts=TEXTS, **arguments)
    np.testing.assert_allclose(found, own(service, "feature-extraction", TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "path", "arguments"),
    [
        shows("LiteLLM", *CHATS, call="completion: litellm_completion", path="/v1", model="openai/llama"),
        shows("LiteLLM", "chat", call="completion: litellm_completion", path="/v1", model="hosted_vllm/llama"),
        shows(
            "LiteLLM", "chat", call="completion: litellm_completion", path="/models/llama", model="huggingface/llama"
        ),
        shows("LlamaIndex", *CHATS, call="OpenAILike.chat: llama_index_chat", path="/v1", model="llama"),
        shows("Haystack", *CHATS, call="OpenAIChatGenerator: haystack_chat", path="/v1", model="llama"),
    ],
)
def test_a_chat_whole_and_streamed(
    service: RunningService, frameworks: Frameworks, call: str, path: str, arguments: Any
) -> None:
    expected = written(service, "text-generation", CHAT)
    whole = frameworks.ask(call, service.url + path, messages=CHAT, **arguments, **OPTIONS)
    assert (whole["text"] if isinstance(whole, dict) else whole) == expected
    pieces = frameworks.ask(call, service.url + path, messages=CHAT, **arguments, **OPTIONS, stream=True)
    assert "".join(pieces) == expected
    assert len(pieces) > 2


@pytest.mark.parametrize(
    ("call", "path", "task", "arguments"),
    [
        pytest.param("litellm_text_completion", "/v1", "text2text-generation", {"model": model} | OPTIONS, marks=mark)
        for model in ("text-completion-openai/t5", "hosted_vllm/t5")
        for mark in [pytest.mark.client("LiteLLM", "text2text-generation", call="text_completion")]
    ]
    + [
        pytest.param(
            "llama_index_complete",
            "/v1",
            "text2text-generation",
            {"model": "t5"} | OPTIONS,
            marks=pytest.mark.client("LlamaIndex", "text2text-generation", call="OpenAILike.complete"),
        ),
        pytest.param(
            "langchain_endpoint",
            "/tasks/text-generation",
            "text-generation",
            GREEDY,
            marks=pytest.mark.client("langchain-huggingface", "text-generation", call="HuggingFaceEndpoint.invoke"),
        ),
    ],
)
def test_a_text(
    service: RunningService, frameworks: Frameworks, call: str, path: str, task: str, arguments: dict[str, Any]
) -> None:
    expected = written(service, task, PROMPT)
    assert frameworks.ask(call, service.url + path, prompt=PROMPT, **arguments) == expected


@pytest.mark.client("langchain-huggingface", "streams", call="HuggingFaceEndpoint.stream")
def test_a_streamed_text(service: RunningService, frameworks: Frameworks) -> None:
    url = f"{service.url}/tasks/text-generation"
    pieces = frameworks.ask("langchain_endpoint", url, prompt=PROMPT, stream=True, **GREEDY)
    assert "".join(pieces) == written(service, "text-generation", PROMPT)


@pytest.mark.client("langchain-huggingface", "chat", call="ChatHuggingFace.invoke")
def test_a_chat_at_the_path_of_a_model(service: RunningService, frameworks: Frameworks) -> None:
    """The client refuses a temperature of 0: one so low changes no token."""
    options = {"max_new_tokens": 8, "temperature": 1e-4}
    told = frameworks.ask("langchain_chat", f"{service.url}/models/llama", messages=CHAT, **options)
    assert told == written(service, "text-generation", CHAT)


@pytest.mark.parametrize(
    ("model", "path"),
    [("cohere/ranker", ""), ("jina_ai/ranker", "/v1"), ("hosted_vllm/ranker", ""), ("huggingface/ranker", "")],
)
@pytest.mark.client("LiteLLM", "rerank", call="rerank")
def test_a_ranking(service: RunningService, frameworks: Frameworks, model: str, path: str) -> None:
    pairs = [{"text": QUERY, "text_pair": text} for text in DOCUMENTS]
    labels = own(service, "text-classification/ranker", pairs, function_to_apply="sigmoid")
    expected = sorted(enumerate(each[0]["score"] for each in labels), key=lambda pair: -pair[1])
    found = frameworks.ask("litellm_rerank", service.url + path, model=model, query=QUERY, documents=DOCUMENTS)
    assert [index for index, _ in found] == [index for index, _ in expected]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=1e-6)


@pytest.mark.client("LiteLLM", "speech-recognition-ctc", "speech-recognition-seq2seq", call="transcription")
@pytest.mark.parametrize(
    ("task", "model"),
    [("speech-recognition-ctc", "spoken-digits-ctc"), ("speech-recognition-seq2seq", "whisper-tiny-en")],
)
def test_a_recording(embedded: RunningService, frameworks: Frameworks, task: str, model: str) -> None:
    headers, url = {"content-type": "audio/ogg"}, f"{embedded.url}/tasks/{task}"
    expected = httpx.post(url, content=SPEECH.read_bytes(), headers=headers, timeout=120).json()["text"]
    told = frameworks.ask("litellm_transcription", f"{embedded.url}/v1", model=f"openai/{model}", file=str(SPEECH))
    assert told == expected.strip() != ""


@pytest.mark.parametrize(
    ("call", "path", "arguments"),
    [
        shows("LiteLLM", "image-to-text", call="completion: litellm_picture", path="/v1", model="openai/llava"),
        shows("LlamaIndex", "image-to-text", call="OpenAILike.chat: llama_index_picture", path="/v1", model="llava"),
        shows("Haystack", "image-to-text", call="OpenAIChatGenerator: haystack_picture", path="/v1", model="llava"),
    ],
)
def test_a_chat_about_a_picture(
    service: RunningService, frameworks: Frameworks, call: str, path: str, arguments: Any
) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + PICTURE}}
    messages = [{"role": "user", "content": [{"type": "text", "text": QUESTION}, picture]}]
    expected = written(service, "image-to-text", messages)
    asked = arguments | {"picture": PICTURE, "question": QUESTION} | OPTIONS
    assert frameworks.ask(call, service.url + path, **asked) == expected


@pytest.mark.parametrize(
    ("model", "content", "error"),
    [
        ("openai/nobody", "Hello", "NotFoundError"),
        ("openai/llama", "word " * 5000, "ContextWindowExceededError"),  # which LiteLLM's fallbacks look for
        ("hosted_vllm/llama", "word " * 5000, "ContextWindowExceededError"),
    ],
)
def test_an_error_is_of_its_class(
    service: RunningService, frameworks: Frameworks, model: str, content: str, error: str
) -> None:
    messages = [{"role": "user", "content": content}]
    assert frameworks.ask("litellm_error", service.url + "/v1", model=model, messages=messages) == error
