"""LangChain's classes for OpenAI's API, with the texts themselves and with token ids.

`OpenAIEmbeddings` sends ids of OpenAI's own vocabulary unless it is told otherwise: they mean nothing to another model,
so `check_embedding_ctx_length=False` sends the texts, and the service does the cutting. With `tiktoken_enabled=False`
LangChain counts with the model's tokenizer, and sends texts, too.

LangChain is imported in functions: it takes seconds, in each worker that collects these tests.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient, constants
from pydantic import BaseModel, Field

from deployments.checkpoints.files import resolve
from tests.service.running import RunningService

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

pytestmark = pytest.mark.ray
TEXTS = ["A man plays a guitar.", "Somebody makes music."]
CHAT = [("system", "Be short."), ("human", "Who wrote the letter?")]
OPTIONS: Any = {"max_new_tokens": 8, "do_sample": False}


def ask(service: RunningService, task: str, inputs: Any, **parameters: Any) -> Any:
    body = {"inputs": inputs} | ({"parameters": parameters} if parameters else {})
    return httpx.post(f"{service.url}/tasks/{task}", json=body, timeout=60).json()


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """Closed at the end, which LangChain would not do with its own."""
    with httpx.Client(timeout=60) as client:
        yield client


def embeddings(service: RunningService, http: httpx.Client, **options: Any) -> "OpenAIEmbeddings":
    from langchain_openai import OpenAIEmbeddings

    return OpenAIEmbeddings(model="minilm", base_url=f"{service.url}/v1", api_key="none", http_client=http, **options)


def chat(service: RunningService, http: httpx.Client, most: int = 8) -> "ChatOpenAI":
    from langchain_openai import ChatOpenAI

    url = f"{service.url}/v1"
    return ChatOpenAI(model="llama", base_url=url, api_key="none", http_client=http, temperature=0, max_tokens=most)


@pytest.mark.client("langchain-openai", "feature-extraction", call="OpenAIEmbeddings.embed_documents")
async def test_vectors(service: RunningService, http: httpx.Client) -> None:
    expected = ask(service, "feature-extraction", TEXTS)
    async with httpx.AsyncClient() as asynchronous:
        sent = embeddings(service, http, check_embedding_ctx_length=False, http_async_client=asynchronous)
        np.testing.assert_allclose(sent.embed_documents(TEXTS), expected, atol=1e-6)
        np.testing.assert_allclose(sent.embed_query(TEXTS[0]), expected[0], atol=1e-6)
        np.testing.assert_allclose(await sent.aembed_documents(TEXTS), expected, atol=1e-6)


def test_vectors_of_texts_that_langchain_counts_itself(service: RunningService, http: httpx.Client) -> None:
    counted = embeddings(service, http, tiktoken_enabled=False, tiktoken_model_name=resolve("embedded:minilm"))
    np.testing.assert_allclose(counted.embed_documents(TEXTS), ask(service, "feature-extraction", TEXTS), atol=1e-6)


@pytest.mark.client("langchain-openai", "text-generation", "chat", call="ChatOpenAI.invoke")
@pytest.mark.client("langchain-openai", "streams", call="ChatOpenAI.stream")
def test_a_chat(service: RunningService, http: httpx.Client) -> None:
    from langchain_core.messages import AIMessage

    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who wrote the letter?"}]
    (expected,) = ask(service, "text-generation", messages, **OPTIONS, details=True)
    answer = chat(service, http).invoke(CHAT)
    assert isinstance(answer, AIMessage)
    assert answer.content == expected["generated_text"]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == expected["details"]["input_length"]
    pieces = list(chat(service, http).stream(CHAT))
    assert len(pieces) >= 8
    assert "".join(str(piece.content) for piece in pieces) == expected["generated_text"]


class Person(BaseModel):
    """Somebody."""

    name: Literal["Anna", "Bert"]
    age: Annotated[int, Field(ge=0, le=150)]


@pytest.mark.client("langchain-openai", "JSON schemas", call="ChatOpenAI.with_structured_output")
def test_an_object_of_a_class(service: RunningService, http: httpx.Client) -> None:
    assert isinstance(chat(service, http, 80).with_structured_output(Person, method="json_schema").invoke(CHAT), Person)


def test_what_langchain_huggingface_sends(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    """`HuggingFaceEndpointEmbeddings(model=URL)` makes this call; the package itself wants an older hub client."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    expected = ask(service, "feature-extraction", TEXTS)
    for path in ("/embed", "/tasks/feature-extraction"):
        found = InferenceClient(model=service.url + path).feature_extraction(text=TEXTS)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, expected, atol=1e-5)
