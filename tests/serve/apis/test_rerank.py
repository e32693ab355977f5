"""What rerank asks of a model, and how it ranks; the model is a list of logits."""

from typing import Any

import orjson
import pytest
from starlette.requests import Request

from deployments.errors import InvalidInput
from deployments.registry import find_task
from serve.apis.embeddings_inference.classes import Classes
from serve.apis.model_client import ModelClient
from serve.config.service import Limits
from serve.routes import Route, RouteTable
from serve.upstream.replicas import Reply, StreamedReply

TABLE = RouteTable([("ranker", find_task("text-classification"))])
WORD = 4  # bytes of each token


class Replica:
    """Gives each pair the next logit; a token is four bytes."""

    def __init__(self, *logits: float) -> None:
        self.logits = logits
        self.ranked: list[str] = []
        self.tokenized: list[str] = []

    async def request(self, route: Route, method: str, headers: Any, body: bytes, below: str = "") -> Reply:
        asked = orjson.loads(body)
        if below == "/tokenize":
            assert asked["add_special_tokens"] is False
            self.tokenized = asked["inputs"]
            tokens = [[{"stop": stop} for stop in range(WORD, len(t.encode()) + WORD, WORD)] for t in asked["inputs"]]
            return Reply(200, [], orjson.dumps(tokens))
        self.ranked = [pair["text_pair"] for pair in asked["inputs"]]
        scores = [[{"label": "LABEL_0", "score": logit}] for logit in self.logits[: len(self.ranked)]]
        return Reply(200, [(b"x-prompt-tokens", b"7")], orjson.dumps(scores))

    async def stream(self, *_: Any, **__: Any) -> StreamedReply:
        raise NotImplementedError


async def rerank(replica: Replica, path: str = "/v1/rerank", **body: Any) -> Any:
    content = orjson.dumps({"query": "q"} | body)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    classes = Classes(ModelClient(TABLE, replica, Limits().body))
    handler = classes.rerank if path == "/rerank" else classes.rerank_documents
    return await handler(Request(scope, receive))


async def test_saturated_scores_are_ordered_by_their_logits() -> None:
    answer = await rerank(Replica(50.0, 60.0, 40.0), documents=["a", "b", "c"])
    assert [result["relevance_score"] for result in answer["results"]] == [1.0, 1.0, 1.0]
    assert [result["index"] for result in answer["results"]] == [1, 0, 2]
    answer = await rerank(Replica(50.0, 60.0, 40.0), "/rerank", texts=["a", "b", "c"], top_n=2)
    assert answer == [{"index": 1, "score": 1.0}, {"index": 0, "score": 1.0}]


async def test_documents_on_teis_route_get_jinas_answer() -> None:
    answer = await rerank(Replica(0.0, 1.0), "/rerank", documents=["a", {"text": "b", "id": 3}], return_documents=True)
    assert [result["document"] for result in answer["results"]] == [{"text": "b", "id": 3}, {"text": "a"}]
    assert answer["usage"]["prompt_tokens"] == 7
    assert answer["meta"]["api_version"] == {"version": "1"}
    assert (await rerank(Replica(0.0), "/v2/rerank", documents=["a"]))["meta"]["api_version"] == {"version": "2"}


async def test_a_text_that_says_documents_is_a_text() -> None:
    """And keys named so within documents are no more than keys."""
    assert await rerank(Replica(0.0), "/rerank", texts=["documents"]) == [{"index": 0, "score": 0.5}]
    replica = Replica(0.0)
    await rerank(replica, "/rerank", documents=[{"text": "a", "texts": ["b"]}])
    assert replica.ranked == ["a"]


async def test_the_fields_to_rank_in_their_order() -> None:
    replica = Replica(0.0, 0.0)
    documents = [{"text": "body", "title": "head", "year": 1999}, {"title": "only"}]
    await rerank(replica, documents=documents, rank_fields=["title", "year", "text"])
    assert replica.ranked == ["head\n1999\nbody", "only"]
    with pytest.raises(InvalidInput, match="none of the fields text"):
        await rerank(replica, documents=documents)


async def test_documents_are_cut_after_so_many_tokens() -> None:
    replica = Replica(*[0.0] * 5)
    documents = ["", "short", "exactly8", "longer than two", "\u00fcber-lang"]
    answer = await rerank(replica, documents=documents, max_tokens_per_doc=2, return_documents=True)
    assert replica.ranked == ["", "short", "exactly8", "longer t", "\u00fcber-la"]  # eight bytes, seven characters
    assert "" not in replica.tokenized, "a tokenizer refuses it"
    assert {result["document"]["text"] for result in answer["results"]} == set(documents), "whole, as they were sent"
    replica.tokenized = []
    await rerank(replica, documents=["ab"], max_tokens_per_doc=100)
    assert replica.tokenized == [], "it cannot have so many"
