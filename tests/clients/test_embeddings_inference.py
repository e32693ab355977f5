"""Text Embeddings Inference's routes and Jina's rerank, as plain HTTP: values of the tasks' own routes."""

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


def mean(states: Any) -> Any:
    """The unit vector of a text's tokens."""
    pooled = np.array(states).mean(0)
    return pooled / np.linalg.norm(pooled)


@pytest.mark.client("TEI", "feature-extraction", call="POST /embed")
def test_vectors(service: RunningService, vectors: Any) -> None:
    np.testing.assert_allclose(ask(service, "/embed", {"inputs": TEXTS}), vectors, atol=1e-5)
    np.testing.assert_allclose(ask(service, "/embed", {"inputs": TEXTS[0], "model": "minilm"}), vectors[:1], atol=1e-5)
    short = ask(service, "/embed", {"inputs": TEXTS, "dimensions": 8, "truncate": True, "truncation_direction": "Left"})
    assert np.linalg.norm(short, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


@pytest.mark.client("TEI", "feature-extraction", call="POST /embed_all")
def test_a_vector_for_each_token(service: RunningService, vectors: Any) -> None:
    states = ask(service, "/embed_all", {"inputs": TEXTS, "truncate": True})
    tokens = ask(service, "/tokenize", {"inputs": TEXTS, "model": "minilm"})
    assert [len(states[i]) for i in range(3)] == [len(tokens[i]) for i in range(3)]
    np.testing.assert_allclose([mean(each) for each in states], vectors, atol=1e-5)
    assert np.linalg.norm(states[0][0]) != pytest.approx(1, abs=1e-3), "not normalised"
    one = ask(service, "/embed_all", {"inputs": TEXTS[0]})
    np.testing.assert_allclose(one[0], states[0], atol=1e-5)


@pytest.mark.client("TEI", "tokens", call="POST /tokenize")
def test_tokens_and_back(service: RunningService, vectors: Any) -> None:
    (tokens,) = ask(service, "/tokenize", {"inputs": "Crème: two"})
    assert [(t["text"], t["start"], t["stop"]) for t in tokens] == [
        ("[CLS]", None, None),
        ("Cr", 0, 2),
        ("ème", 2, 6),  # in bytes
        (":", 6, 7),
        ("two", 8, 11),
        ("[SEP]", None, None),
    ]
    assert [token["special"] for token in tokens] == [True, False, False, False, False, True]
    ids = [[token["id"] for token in each] for each in ask(service, "/tokenize", {"inputs": TEXTS})]
    np.testing.assert_allclose(ask(service, "/embed", {"inputs": ids}), vectors, atol=1e-5)
    np.testing.assert_allclose(ask(service, "/embed", {"inputs": ids[1]}), vectors[1:2], atol=1e-5)
    bare = ask(service, "/tokenize", {"inputs": TEXTS[0], "add_special_tokens": False})[0]
    assert [token["id"] for token in bare] == ids[0][1:-1]
    assert [text.replace(" .", ".") for text in ask(service, "/decode", {"ids": ids})] == [t.lower() for t in TEXTS]
    assert ask(service, "/decode", {"ids": ids[0], "skip_special_tokens": False})[0].startswith("[CLS] a man plays")


@pytest.mark.parametrize("model", ["llama", "t5", "ranker", "prompt-injection", "spoken-digits-ctc"])
def test_every_model_with_a_tokenizer_has_tokens(service: RunningService, model: str) -> None:
    (tokens,) = ask(service, "/tokenize", {"inputs": "six one", "model": model})
    ids = [token["id"] for token in tokens]
    (text,) = ask(service, "/decode", {"ids": ids, "model": model})
    assert text.replace(" ", "").lower().startswith("sixone"), text


@pytest.mark.client("TEI", "information", call="GET /info")
def test_what_a_model_is(service: RunningService) -> None:
    def info(query: str = "") -> Any:
        return httpx.get(f"{service.url}/info{query}").json()

    first = info()
    assert (first["served_model_name"], first["model_id"]) == ("minilm", "embedded:minilm")
    assert first["model_type"] == {"embedding": {"pooling": "mean"}}
    assert (first["model_dtype"], first["max_input_length"]) == ("float32", 256)
    assert (first["max_client_batch_size"], first["max_concurrent_requests"]) == (1024, 512)
    assert first["max_batch_tokens"] == 512
    ask(service, "/embed", {"inputs": "the " * 254})  # with two special tokens as many as the model reads
    assert "256" in ask(service, "/embed", {"inputs": "the " * 255}, 422)["error"]
    assert info("?model=ranker")["model_type"] == {
        "reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    }
    assert set(info("?model=prompt-injection")["model_type"]["classifier"]["label2id"].values()) == {0, 1}
    assert info("?model=llama")["model_type"] == {"text-generation": {}}
    missing = httpx.get(f"{service.url}/info?model=minlm")
    assert (missing.status_code, "did you mean 'minilm'" in missing.json()["error"]) == (404, True)


@pytest.mark.client("TEI", "feature-extraction", call="POST /embeddings")
def test_openais_vectors_under_teis_path(service: RunningService, vectors: Any) -> None:
    answer = ask(service, "/embeddings", {"input": TEXTS})
    np.testing.assert_allclose([entry["embedding"] for entry in answer["data"]], vectors, atol=1e-5)
    assert answer["model"] == "minilm"


@pytest.mark.client("TEI", "sentence-similarity", call="POST /similarity")
def test_similarities(service: RunningService, vectors: Any) -> None:
    found = ask(service, "/similarity", {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}})
    assert found == pytest.approx((vectors[1:] @ vectors[0]).tolist(), abs=1e-5)
    assert found[0] > found[1]


@pytest.mark.client("TEI", "text-classification", call="POST /predict")
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


@pytest.mark.client("TEI", "rerank", call="POST /rerank")
@pytest.mark.client("Jina's rerank", "rerank", call="POST /v1/rerank")
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
        assert answer["model"] == "ranker"
        tokens = ask(service, "/tokenize", {"inputs": ["music", *TEXTS], "model": "ranker"})
        query, *others = [len(each) for each in tokens]
        read = sum(query + other - 1 for other in others)  # [CLS] query [SEP] text [SEP]
        assert answer["usage"] == {"prompt_tokens": read, "total_tokens": read}
        assert answer["meta"]["api_version"] == {"version": path[2]}
        assert answer["results"][0]["document"]["text"] == TEXTS[order[0]]
        assert answer["results"][0]["relevance_score"] == pytest.approx(1 / (1 + np.exp(-raw[order[0]])), abs=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "status", "error_type", "message"),
    [
        ("/embed", {"inputs": TEXTS, "model": "ranker"}, 422, "validation", "does text-classification, not embeddings"),
        ("/embed", {"inputs": []}, 422, "validation", "inputs"),
        ("/embed", {"inputs": [99_999]}, 422, "validation", "token id 99999; this model's highest is 30521"),
        ("/embed", {"inputs": [-1]}, 422, "validation", "inputs[0]: should be greater than or equal to 0"),
        (
            "/embed",
            {"inputs": [1], "prompt_name": "query"},
            422,
            "validation",
            "a prompt can only be prepended to a text",
        ),
        ("/embed_all", {"inputs": "a", "dimensions": 8}, 422, "validation", "dimensions: is not available here"),
        ("/tokenize", {"inputs": ["a", ""]}, 422, "validation", "inputs[1] is empty"),
        ("/tokenize", {"inputs": "a", "model": "mini"}, 404, "validation", "did you mean 'minilm'"),
        ("/tokenize", {"inputs": "a", "prompt_name": "query"}, 422, "validation", "is not one of the checkpoint's"),
        ("/tokenize", {"inputs": "a " * 140_000}, 413, "validation", "the limit is 262,144"),
        ("/decode", {"ids": [30_522]}, 422, "validation", "ids[0] has the token id 30522"),
        ("/decode", {"ids": []}, 422, "validation", "ids"),
        ("/embed", {"inputs": "long " * 1000}, 422, "validation", "the model reads at most"),
        ("/embed", {"input": "a"}, 422, "validation", "inputs: is missing"),
        ("/embed", {"inputs": "a", "model": "mini"}, 404, "validation", "no model 'mini'"),
        ("/predict", {"inputs": ["a", "b", "c"]}, 422, "validation", "a list of texts is a pair"),
        ("/rerank", {"query": "a", "texts": ["b"], "model": "prompt-injection"}, 422, "validation", "several classes"),
        (
            "/v2/rerank",
            {"query": "a", "documents": [{"title": "b"}], "model": "ranker"},
            422,
            "validation",
            "of the fields text",
        ),
    ],
)
def test_errors(
    service: RunningService, path: str, body: dict[str, Any], status: int, error_type: str, message: str
) -> None:
    error = ask(service, path, body, status)
    assert error["error_type"] == error_type
    assert message in error["error"]
