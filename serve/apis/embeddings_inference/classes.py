"""`/predict` and the rerank of TEI's, Cohere's and Jina's clients: what a model that classifies says."""

import math
import uuid
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request

from deployments.errors import InvalidInput
from serve.apis.caller import Caller
from serve.apis.embeddings_inference.requests import CLASSES, Texts, Truncation
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
    """Answers texts with classes, and a query with a ranking."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def predict(self, request: Request) -> Any:
        """`[{score, label}]` of a text or of a pair of texts, or a list of them for a batch."""
        asked: PredictRequest = await self._caller.read(request, PredictRequest)
        one = isinstance(asked.inputs, str) or all(isinstance(part, str) for part in asked.inputs)
        items = [asked.inputs] if one else asked.inputs
        reply = await self._ask(request, asked, [_pair(item) for item in items], asked.raw_scores)
        answers = reply.json()
        return answers[0] if one else answers

    async def rerank(self, request: Request) -> Any:
        """`[{index, score, text?}]`, best first, by a model that scores a query with a text."""
        asked: RerankRequest = await self._caller.read(request, RerankRequest)
        scores, _ = await self._scores(request, asked, asked.query, asked.texts, asked.raw_scores)
        return [
            {"index": index, "score": scores[index]} | ({"text": asked.texts[index]} if asked.return_text else {})
            for index in _ranked(scores)
        ]

    async def rerank_documents(self, request: Request) -> Any:
        """`{id, model, usage, meta, results: [{index, relevance_score, document?}]}`, best first."""
        asked: DocumentsRequest = await self._caller.read(request, DocumentsRequest)
        texts = [document if isinstance(document, str) else _text(document) for document in asked.documents]
        scores, reply = await self._scores(request, asked, asked.query, texts, raw=False)
        results = [
            {"index": index, "relevance_score": scores[index]}
            | ({"document": {"text": texts[index]}} if asked.return_documents else {})
            for index in _ranked(scores)[: asked.top_n]
        ]
        read = int(reply.header(b"x-prompt-tokens") or 0)
        return {
            "id": str(uuid.uuid4()),
            "model": self._caller.route(asked.model, CLASSES, "classification").model,
            "results": results,
            "usage": {"prompt_tokens": read, "total_tokens": read},  # Jina's
            "meta": {"api_version": {"version": request.url.path.split("/")[1][1:]}, "tokens": {"input_tokens": read}},
        }

    async def _ask(self, request: Request, asked: Truncation, inputs: list[Any], raw: bool) -> Reply:
        route = self._caller.route(asked.model, CLASSES, "classification")
        parameters: dict[str, Any] = {
            "truncate": asked.truncate,
            "truncation_direction": asked.truncation_direction.lower(),
        }
        if raw:
            parameters["function_to_apply"] = "none"
        return await self._caller.ask(request, route, {"inputs": inputs, "parameters": parameters})

    async def _scores(
        self, request: Request, asked: Truncation, query: str, texts: list[str], raw: bool
    ) -> tuple[list[float], Reply]:
        """The score of each text for a query, between 0 and 1 unless raw; and the answer that they are from."""
        pairs = [{"text": query, "text_pair": text} for text in texts]
        reply = await self._ask(request, asked, pairs, raw=True)
        classes = reply.json()
        if any(len(labels) != 1 for labels in classes):
            raise InvalidInput("model: it has several classes; a ranking needs a model with one score")
        scores = [float(labels[0]["score"]) for labels in classes]
        return (scores if raw else [_sigmoid(score) for score in scores]), reply


def _ranked(scores: list[float]) -> list[int]:
    """Best first; of equal ones, the first."""
    return sorted(range(len(scores)), key=lambda index: -scores[index])


def _sigmoid(score: float) -> float:
    """Between 0 and 1, however large the score."""
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    return math.exp(score) / (1 + math.exp(score))


def _pair(item: Any) -> Any:
    texts = [item] if isinstance(item, str) else item
    if len(texts) > 2:
        raise InvalidInput("inputs: a list of texts is a pair; for a batch, make each of them a list")
    return texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}


def _text(document: dict[str, str]) -> str:
    if "text" not in document:
        raise InvalidInput("documents: an object needs `text`")
    return document["text"]
