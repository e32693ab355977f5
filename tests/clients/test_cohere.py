"""Cohere's own client, whose rerank any model that scores a query with a text can answer."""

from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import pytest
from cohere.core.api_error import ApiError

from tests.service.running import RunningService

pytestmark = pytest.mark.ray
QUERY = "music"
TEXTS = ["A man plays a guitar.", "Somebody makes music.", "The river rose in the night."]


@pytest.fixture(scope="module")
def scores(service: RunningService) -> list[float]:
    """Between 0 and 1, of the task's own route."""
    pairs = [{"text": QUERY, "text_pair": text} for text in TEXTS]
    body = {"inputs": pairs, "parameters": {"function_to_apply": "sigmoid"}}
    answer = httpx.post(f"{service.url}/tasks/text-classification/ranker", json=body, timeout=60).json()
    return [labels[0]["score"] for labels in answer]


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """Closed at the end, which the clients would not do with their own."""
    with httpx.Client(timeout=60) as client:
        yield client


def ranked(scores: list[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda index: -scores[index])


@pytest.mark.client("cohere", "rerank", call="ClientV2.rerank")
def test_a_ranking(service: RunningService, http: httpx.Client, scores: list[float]) -> None:
    client = cohere.ClientV2(api_key="none", base_url=service.url, httpx_client=http)
    answer = client.rerank(model="ranker", query=QUERY, documents=TEXTS)
    assert [result.index for result in answer.results] == ranked(scores)
    assert [result.relevance_score for result in answer.results] == pytest.approx(sorted(scores)[::-1], abs=1e-5)
    assert answer.id
    assert answer.meta.api_version.version == "2"
    assert answer.meta.tokens.input_tokens > 3 * len(QUERY.split())
    assert len(client.rerank(model="ranker", query=QUERY, documents=TEXTS, top_n=2).results) == 2


@pytest.mark.client("cohere", "rerank", call="AsyncClientV2.rerank")
async def test_the_client_without_threads(service: RunningService, scores: list[float]) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        client = cohere.AsyncClientV2(api_key="none", base_url=service.url, httpx_client=http)
        answer = await client.rerank(model="ranker", query=QUERY, documents=TEXTS)
    assert [result.index for result in answer.results] == ranked(scores)


@pytest.mark.client("cohere", "rerank", call="Client.rerank")
def test_the_older_client(service: RunningService, http: httpx.Client, scores: list[float]) -> None:
    client = cohere.Client(api_key="none", base_url=service.url, httpx_client=http)
    documents: list[Any] = [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]]
    answer = client.rerank(model="ranker", query=QUERY, documents=documents, return_documents=True)
    assert [result.document.text for result in answer.results] == [TEXTS[index] for index in ranked(scores)]
    assert answer.meta.api_version.version == "1"


def test_an_error_has_its_words(service: RunningService, http: httpx.Client) -> None:
    client = cohere.ClientV2(api_key="none", base_url=service.url, httpx_client=http)
    with pytest.raises(ApiError) as caught:
        client.rerank(model="rankr", query=QUERY, documents=TEXTS)
    assert (caught.value.status_code, "did you mean 'ranker'" in str(caught.value.body)) == (404, True)
