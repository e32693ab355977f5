"""`/predict`, and `/rerank` of TEI's, Cohere's and Jina's clients: classification models."""

import math
import uuid
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request

from deployments.errors import InvalidInput
from serve.apis.embeddings_inference.requests import CLASSES, Texts, Truncation
from serve.apis.model_client import ModelClient
from serve.upstream.replicas import Reply


class PredictRequest(Truncation):
    inputs: str | Annotated[list[str | Annotated[list[str], Field(min_length=1, max_length=2)]], Field(min_length=1)]
    raw_scores: bool = False


class RerankRequest(Truncation):
    query: str
    texts: Texts
    raw_scores: bool = False
    return_text: bool = False


class DocumentsRequest(Truncation):
    """Cohere's and Jina's rerank, whose clients send documents of any length."""

    query: str
    documents: Annotated[list[str | dict[str, str]], Field(min_length=1)]
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False
    max_tokens_per_doc: int | None = None
    truncate: bool = True


class Classes:
    """Handles classification and reranking requests."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client

    async def predict(self, request: Request) -> Any:
        """`[{score, label}]` of a text or of a pair of texts, or a list of them for a batch."""
        payload: PredictRequest = await self._client.read(request, PredictRequest)
        is_single = isinstance(payload.inputs, str) or all(isinstance(part, str) for part in payload.inputs)
        items = [payload.inputs] if is_single else payload.inputs
        reply = await self._classify(request, payload, [_pair(item) for item in items], payload.raw_scores)
        answers = reply.json()
        return answers[0] if is_single else answers

    async def rerank(self, request: Request) -> Any:
        """`[{index, score, text?}]`, best first, by a model that scores pairs of query and text."""
        payload: RerankRequest = await self._client.read(request, RerankRequest)
        scores, _ = await self._scores(request, payload, payload.query, payload.texts, payload.raw_scores)
        return [
            {"index": index, "score": scores[index]} | ({"text": payload.texts[index]} if payload.return_text else {})
            for index in _ranked(scores)
        ]

    async def rerank_documents(self, request: Request) -> Any:
        """`{id, model, usage, meta, results: [{index, relevance_score, document?}]}`, best first."""
        payload: DocumentsRequest = await self._client.read(request, DocumentsRequest)
        texts = [document if isinstance(document, str) else _text(document) for document in payload.documents]
        scores, reply = await self._scores(request, payload, payload.query, texts, raw=False)
        results = [
            {"index": index, "relevance_score": scores[index]}
            | ({"document": {"text": texts[index]}} if payload.return_documents else {})
            for index in _ranked(scores)[: payload.top_n]
        ]
        prompt_tokens = int(reply.header(b"x-prompt-tokens") or 0)
        return {
            "id": str(uuid.uuid4()),
            "model": self._client.route(payload.model, CLASSES, "classification").model,
            "results": results,
            "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},  # Jina's
            "meta": {
                "api_version": {"version": request.url.path.split("/")[1][1:]},
                "tokens": {"input_tokens": prompt_tokens},
            },
        }

    async def _classify(self, request: Request, payload: Truncation, inputs: list[Any], raw: bool) -> Reply:
        route = self._client.route(payload.model, CLASSES, "classification")
        parameters: dict[str, Any] = {
            "truncate": payload.truncate,
            "truncation_direction": payload.truncation_direction.lower(),
        }
        if raw:
            parameters["function_to_apply"] = "none"
        return await self._client.post(request, route, {"inputs": inputs, "parameters": parameters})

    async def _scores(
        self, request: Request, payload: Truncation, query: str, texts: list[str], raw: bool
    ) -> tuple[list[float], Reply]:
        """The score of each text for a query, between 0 and 1 unless raw; and the reply that has them."""
        pairs = [{"text": query, "text_pair": text} for text in texts]
        reply = await self._classify(request, payload, pairs, raw=True)
        classes = reply.json()
        if any(len(labels) != 1 for labels in classes):
            raise InvalidInput("model: has several classes; reranking needs a model with a single score")
        scores = [float(labels[0]["score"]) for labels in classes]
        return (scores if raw else [_sigmoid(score) for score in scores]), reply


def _ranked(scores: list[float]) -> list[int]:
    """Indices by descending score; the order of equal scores is kept."""
    return sorted(range(len(scores)), key=lambda index: -scores[index])


def _sigmoid(score: float) -> float:
    """Numerically stable for large scores."""
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    return math.exp(score) / (1 + math.exp(score))


def _pair(item: Any) -> Any:
    texts = [item] if isinstance(item, str) else item
    if len(texts) > 2:
        raise InvalidInput("inputs: a list of texts is a pair; for a batch, send a list of lists")
    return texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}


def _text(document: dict[str, str]) -> str:
    if "text" not in document:
        raise InvalidInput("documents: `text` is missing")
    return document["text"]
