"""`/predict`, and `/rerank` of TEI's, Cohere's and Jina's clients: classification models."""

import math
import uuid
from typing import Annotated, Any, NamedTuple

import orjson
from pydantic import Field
from starlette.requests import Request

from deployments.errors import InvalidInput
from serve.apis.embeddings_inference.requests import CLASSES, Texts, Truncation
from serve.apis.model_client import ModelClient
from serve.routes import Route
from serve.upstream.replicas import Reply


class PredictRequest(Truncation):
    inputs: str | Annotated[list[str | Annotated[list[str], Field(min_length=1, max_length=2)]], Field(min_length=1)]
    raw_scores: bool = False


class DocumentsRequest(Truncation):
    """Cohere's and Jina's rerank, whose clients send documents of any length.

    Of a document that is an object, the values of `rank_fields` are ranked, in their order; by default its `text`.
    """

    without_effect = Truncation.without_effect | {"max_chunks_per_doc", "max_chunk_per_doc"}  # here a document is one

    query: str
    documents: Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    rank_fields: Texts | None = None
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False
    max_tokens_per_doc: int | None = Field(default=None, ge=1)
    truncate: bool = True

    def ranked_texts(self) -> list[str]:
        """The text of each document.

        Raises:
            InvalidInput: an object has none of the fields.
        """
        return [_text(document, self.rank_fields or ["text"]) for document in self.documents]


class RerankRequest(Truncation):
    """TEI's rerank, with `texts`; with `documents` it is Jina's and vLLM's, whose route has the same path."""

    lacking = {"documents": ()}

    query: str
    texts: Texts
    raw_scores: bool = False
    return_text: bool = False
    top_n: int | None = Field(default=None, ge=1)


class _Ranking(NamedTuple):
    """How well texts answer a query.

    Attributes:
        logits: texts are ranked by them: scores between 0 and 1 of very good texts are all 1.
        scores: between 0 and 1; of a model with a vector per token MaxSim, as the logits.
        reply: of the model.
    """

    logits: list[float]
    scores: list[float]
    reply: Reply


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
        """`[{index, score, text?}]`, best first, by a model that scores pairs of query and text.

        A request with `documents` gets the answer of `/v1/rerank`.
        """
        body = await self._client.read_bytes(request)
        if _names_documents(body):
            return await self._ranked_documents(request, await self._client.read(request, DocumentsRequest, body))
        payload: RerankRequest = await self._client.read(request, RerankRequest, body)
        ranking = await self._ranking(request, payload, payload.query, payload.texts)
        logits, scores = ranking.logits, ranking.logits if payload.raw_scores else ranking.scores
        return [
            {"index": index, "score": scores[index]} | ({"text": payload.texts[index]} if payload.return_text else {})
            for index in _ranked(logits)[: payload.top_n]
        ]

    async def rerank_documents(self, request: Request) -> Any:
        """`{id, model, usage, meta, results: [{index, relevance_score, document?}]}`, best first."""
        return await self._ranked_documents(request, await self._client.read(request, DocumentsRequest))

    async def _ranked_documents(self, request: Request, payload: DocumentsRequest) -> dict[str, Any]:
        texts = payload.ranked_texts()
        scored = texts
        if payload.max_tokens_per_doc is not None:
            scored = await self._shortened(request, payload, texts, payload.max_tokens_per_doc)
        ranking = await self._ranking(request, payload, payload.query, scored)
        results = [
            {"index": index, "relevance_score": ranking.scores[index]}
            | ({"document": _document(payload.documents[index])} if payload.return_documents else {})
            for index in _ranked(ranking.logits)[: payload.top_n]
        ]
        prompt_tokens = int(ranking.reply.header(b"x-prompt-tokens") or 0)
        return {
            "id": str(uuid.uuid4()),
            "model": self._ranker(payload).model,
            "results": results,
            "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},  # Jina's
            "meta": {
                "api_version": {"version": "2" if request.url.path.startswith("/v2/") else "1"},
                "tokens": {"input_tokens": prompt_tokens},
            },
        }

    def _ranker(self, payload: Truncation) -> Route:
        """The model that ranks: a classifier, or one with a vector per token."""
        return self._client.route(
            payload.model, CLASSES, "classification", lambda route: route.kind.vectors == "several"
        )

    async def _classify(self, request: Request, payload: Truncation, inputs: list[Any], raw: bool) -> Reply:
        route = self._client.route(payload.model, CLASSES, "classification")
        parameters: dict[str, Any] = {
            "truncate": payload.truncate,
            "truncation_direction": payload.truncation_direction.lower(),
        }
        if raw:
            parameters["function_to_apply"] = "none"
        return await self._client.post(request, route, {"inputs": inputs, "parameters": parameters})

    async def _shortened(
        self, request: Request, payload: DocumentsRequest, texts: list[str], max_tokens: int
    ) -> list[str]:
        """Each text up to its first `max_tokens` tokens, special ones not counted."""
        long = [index for index, text in enumerate(texts) if len(text.encode()) >= max_tokens]  # a token has a byte
        if not long:
            return texts
        route = self._ranker(payload)
        body = {"inputs": [texts[index] for index in long], "add_special_tokens": False, "offsets": "bytes"}
        tokenized = (await self._client.post(request, route, body, "/tokenize")).json()
        shortened = list(texts)
        for index, tokens in zip(long, tokenized, strict=True):
            if len(tokens) > max_tokens:
                shortened[index] = texts[index].encode()[: tokens[max_tokens - 1]["stop"]].decode(errors="ignore")
        return shortened

    async def _ranking(self, request: Request, payload: Truncation, query: str, texts: list[str]) -> _Ranking:
        """The scores of each text for a query.

        Raises:
            InvalidInput: the model is a classifier of several classes.
        """
        route = self._ranker(payload)
        if route.kind.vectors == "several":
            body = {"inputs": {"source_sentence": query, "sentences": texts}, "truncate": payload.truncate}
            body["truncation_direction"] = payload.truncation_direction
            reply = await self._client.post(request, route, body)
            return _Ranking(reply.json(), reply.json(), reply)
        pairs = [{"text": query, "text_pair": text} for text in texts]
        reply = await self._classify(request, payload, pairs, raw=True)
        classes = reply.json()
        if any(len(labels) != 1 for labels in classes):
            raise InvalidInput("model: has several classes; reranking needs a model with a single score")
        logits = [float(labels[0]["score"]) for labels in classes]
        return _Ranking(logits, [_sigmoid(logit) for logit in logits], reply)


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


def _names_documents(body: bytes) -> bool:
    """Whether a body for `/rerank` is Jina's. It is parsed here only if it may be."""
    if b'"documents"' not in body:
        return False
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(content, dict) and content.get("documents") is not None and content.get("texts") is None


def _text(document: str | dict[str, Any], fields: list[str]) -> str:
    if isinstance(document, str):
        return document
    values = [document[field] for field in fields if document.get(field) is not None]
    if not values:
        raise InvalidInput(f"documents: an object has none of the fields {', '.join(fields)}; set `rank_fields`")
    return "\n".join(value if isinstance(value, str) else orjson.dumps(value).decode() for value in values)


def _document(document: str | dict[str, Any]) -> dict[str, Any]:
    return {"text": document} if isinstance(document, str) else document
