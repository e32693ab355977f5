"""Text Embeddings Inference's routes and the rerank of Cohere's and Jina's clients: values of the tasks' own routes."""

from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.running import RunningService

pytestmark = pytest.mark.ray
TEXTS = ["A man plays a guitar.", "Somebody makes music.", "The river rose in the night."]


def ask(service: RunningService, path: str, body: dict[str, Any], status: int = 200) -> Any:
    answer = httpx.post(service.url + path, json=body, timeout=60)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def vectors(service: RunningService) -> Any:
    return np.array(ask(service, "/tasks/feature-extraction", {"inputs": TEXTS}))


def test_vectors(service: RunningService, vectors: Any) -> None:
    np.testing.assert_allclose(ask(service, "/embed", {"inputs": TEXTS}), vectors, atol=1e-5)
    np.testing.assert_allclose(ask(service, "/embed", {"inputs": TEXTS[0], "model": "minilm"}), vectors[:1], atol=1e-5)
    short = ask(service, "/embed", {"inputs": TEXTS, "dimensions": 8, "truncate": True, "truncation_direction": "Left"})
    assert np.linalg.norm(short, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


def test_similarities(service: RunningService, vectors: Any) -> None:
    found = ask(service, "/similarity", {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}})
    assert found == pytest.approx((vectors[1:] @ vectors[0]).tolist(), abs=1e-5)
    assert found[0] > found[1]


def test_classes(service: RunningService) -> None:
    def direct(inputs: Any, **parameters: Any) -> Any:
        path = "/tasks/text-classification/prompt-injection"
        return ask(service, path, {"inputs": inputs, "parameters": parameters})

    one = ask(service, "/predict", {"inputs": TEXTS[0], "model": "prompt-injection"})
    assert one == direct(TEXTS[0])[0]
    pair = ask(service, "/predict", {"inputs": TEXTS[:2], "model": "prompt-injection", "raw_scores": True})
    assert pair == direct({"text": TEXTS[0], "text_pair": TEXTS[1]}, function_to_apply="none")[0]
    many = ask(service, "/predict", {"inputs": [[TEXTS[0]], TEXTS[1:]], "model": "prompt-injection"})
    assert [len(labels) for labels in many] == [2, 2]
    assert many[0][0]["label"] == one[0]["label"]


def test_a_ranking(service: RunningService) -> None:
    pairs = [{"text": "music", "text_pair": text} for text in TEXTS]
    body = {"inputs": pairs, "parameters": {"function_to_apply": "none"}}
    raw = [labels[0]["score"] for labels in ask(service, "/tasks/text-classification/ranker", body)]
    order = sorted(range(3), key=lambda index: -raw[index])
    asked = {"query": "music", "texts": TEXTS, "model": "ranker"}
    ranked = ask(service, "/rerank", asked | {"raw_scores": True, "return_text": True})
    assert [(entry["index"], entry["text"]) for entry in ranked] == [(index, TEXTS[index]) for index in order]
    assert [entry["score"] for entry in ranked] == pytest.approx([raw[index] for index in order], abs=1e-5)
    assert all(0 < entry["score"] < 1 for entry in ask(service, "/rerank", asked))
    documents: dict[str, Any] = {"query": "music", "documents": [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]], "top_n": 2}
    for path in ("/v1/rerank", "/v2/rerank"):
        answer = ask(service, path, documents | {"model": "ranker", "return_documents": True})
        assert [entry["index"] for entry in answer["results"]] == order[:2]
        assert answer["results"][0]["document"]["text"] == TEXTS[order[0]]
        assert answer["results"][0]["relevance_score"] == pytest.approx(1 / (1 + np.exp(-raw[order[0]])), abs=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "status", "error_type", "message"),
    [
        ("/embed", {"inputs": TEXTS, "model": "ranker"}, 422, "validation", "does text-classification, not embeddings"),
        ("/embed", {"inputs": []}, 422, "validation", "inputs"),
        ("/embed", {"inputs": "long " * 1000}, 422, "validation", "the model reads at most"),
        ("/embed", {"input": "a"}, 422, "validation", "input: unknown field"),
        ("/embed", {"inputs": "a", "model": "mini"}, 404, "validation", "no model 'mini'"),
        ("/predict", {"inputs": ["a", "b", "c"]}, 422, "validation", "a list of texts is a pair"),
        ("/rerank", {"query": "a", "texts": ["b"], "model": "prompt-injection"}, 422, "validation", "several classes"),
        ("/v2/rerank", {"query": "a", "documents": [{"title": "b"}], "model": "ranker"}, 422, "validation", "`text`"),
    ],
)
def test_errors(
    service: RunningService, path: str, body: dict[str, Any], status: int, error_type: str, message: str
) -> None:
    error = ask(service, path, body, status)
    assert error["error_type"] == error_type
    assert message in error["error"]
