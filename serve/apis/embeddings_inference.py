"""Text Embeddings Inference's API, and the rerank of Cohere and Jina: vectors, classes, similarities and rankings.

TEI serves one model; here each route asks the first model of its task, or the one that `model` names.
"""

import math
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deployments.errors import InvalidInput
from serve.apis.caller import Caller, with_errors
from serve.messages import Headers

VECTORS = ("feature-extraction",)
CLASSES = ("text-classification",)
Answer = Callable[[Request], Awaitable[Any]]
Texts = Annotated[list[str], Field(min_length=1)]
# Ours to TEI's.
_TYPES = {
    "overloaded": "overloaded",
    "unavailable": "unhealthy",
    "deadline_exceeded": "backend",
    "forward_failed": "backend",
    "internal": "backend",
}


class TEIRequest(BaseModel):
    """The base of every request."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str | None = None


class Truncation(TEIRequest):
    """What is done with a text that is longer than the model reads; refused by default, as TEI has it."""

    truncate: bool = False
    truncation_direction: Literal["Left", "Right", "left", "right"] = "Right"


class EmbedRequest(Truncation):
    inputs: str | Texts
    prompt_name: str | None = None
    normalize: bool = True
    dimensions: int | None = None


class PredictRequest(Truncation):
    inputs: str | Annotated[list[str | Annotated[list[str], Field(min_length=1, max_length=2)]], Field(min_length=1)]
    raw_scores: bool = False


class RerankRequest(Truncation):
    query: str
    texts: Texts
    raw_scores: bool = False
    return_text: bool = False


class DocumentsRequest(TEIRequest):
    """Cohere's and Jina's rerank."""

    query: str
    documents: Annotated[list[str | dict[str, str]], Field(min_length=1)]
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False
    max_tokens_per_doc: int | None = None


class Sentences(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source_sentence: str
    sentences: Texts


class SimilarityRequest(TEIRequest):
    inputs: Sentences
    parameters: Truncation | None = None


class EmbeddingsInference:
    """The routes."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def embed(self, request: Request) -> Any:
        """`[[f]]`, a vector for each text."""
        asked: EmbedRequest = await self._caller.read(request, EmbedRequest)
        options = asked.model_dump(exclude={"model", "inputs"}, exclude_none=True)
        inputs = [asked.inputs] if isinstance(asked.inputs, str) else asked.inputs
        return await self._vectors(request, asked.model, {"inputs": inputs} | options)

    async def predict(self, request: Request) -> Any:
        """`[{score, label}]` of a text or of a pair of texts, or a list of them for a batch."""
        asked: PredictRequest = await self._caller.read(request, PredictRequest)
        one = isinstance(asked.inputs, str) or all(isinstance(part, str) for part in asked.inputs)
        items = [asked.inputs] if one else asked.inputs
        pairs = [_pair(item) for item in items]
        answers = await self._classes(request, asked, pairs, asked.raw_scores)
        return answers[0] if one else answers

    async def rerank(self, request: Request) -> Any:
        """`[{index, score, text?}]`, best first, by a model that scores a query with a text."""
        asked: RerankRequest = await self._caller.read(request, RerankRequest)
        scores = await self._scores(request, asked, asked.query, asked.texts, asked.raw_scores)
        ranked = sorted(range(len(scores)), key=lambda index: -scores[index])
        return [
            {"index": index, "score": scores[index]} | ({"text": asked.texts[index]} if asked.return_text else {})
            for index in ranked
        ]

    async def rerank_documents(self, request: Request) -> Any:
        """`{id, model, results: [{index, relevance_score, document?}]}`, best first."""
        asked: DocumentsRequest = await self._caller.read(request, DocumentsRequest)
        texts = [document if isinstance(document, str) else _text(document) for document in asked.documents]
        # These clients send documents of any length.
        options = Truncation(model=asked.model, truncate=True)
        scores = await self._scores(request, options, asked.query, texts, raw=False)
        ranked = sorted(range(len(scores)), key=lambda index: -scores[index])[: asked.top_n]
        results = [
            {"index": index, "relevance_score": scores[index]}
            | ({"document": {"text": texts[index]}} if asked.return_documents else {})
            for index in ranked
        ]
        return {"id": uuid.uuid4().hex, "model": asked.model, "results": results}

    async def similarity(self, request: Request) -> Any:
        """`[f]`: the cosine of each sentence's vector with the first one's."""
        asked: SimilarityRequest = await self._caller.read(request, SimilarityRequest)
        options = (asked.parameters or Truncation()).model_dump(exclude={"model"})
        texts = [asked.inputs.source_sentence, *asked.inputs.sentences]
        source, *others = await self._vectors(request, asked.model, {"inputs": texts, "normalize": True} | options)
        return [sum(a * b for a, b in zip(source, other, strict=True)) for other in others]

    async def _vectors(self, request: Request, model: str | None, body: dict[str, Any]) -> list[list[float]]:
        route = self._caller.route(model, VECTORS, "embeddings")
        vectors: list[Any] = (await self._caller.ask(request, route, body)).json()
        if isinstance(vectors[0][0], list):
            raise InvalidInput(f"model: {route.model!r} gives a vector per token; set `pooling` in its configuration")
        return vectors

    async def _classes(self, request: Request, asked: Truncation, inputs: list[Any], raw: bool) -> list[Any]:
        route = self._caller.route(asked.model, CLASSES, "classification")
        parameters: dict[str, Any] = {
            "truncate": asked.truncate,
            "truncation_direction": asked.truncation_direction.lower(),
        }
        if raw:
            parameters["function_to_apply"] = "none"
        reply = await self._caller.ask(request, route, {"inputs": inputs, "parameters": parameters})
        classes: list[Any] = reply.json()
        return classes

    async def _scores(
        self, request: Request, asked: Truncation, query: str, texts: list[str], raw: bool
    ) -> list[float]:
        """The score of each text for a query, between 0 and 1 unless raw."""
        pairs = [{"text": query, "text_pair": text} for text in texts]
        classes = await self._classes(request, asked, pairs, raw=True)
        if any(len(labels) != 1 for labels in classes):
            raise InvalidInput("model: it has several classes; a ranking needs a model with one score")
        scores = [float(labels[0]["score"]) for labels in classes]
        return scores if raw else [1 / (1 + math.exp(-score)) for score in scores]


def _pair(item: Any) -> Any:
    texts = [item] if isinstance(item, str) else item
    if len(texts) > 2:
        raise InvalidInput("inputs: a list of texts is a pair; for a batch, make each of them a list")
    return texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}


def _text(document: dict[str, str]) -> str:
    if "text" not in document:
        raise InvalidInput("documents: an object needs `text`")
    return document["text"]


def embeddings_inference_routes(caller: Caller) -> list[Route]:
    """`/embed`, `/predict`, `/rerank`, `/similarity`, and the rerank of Cohere's and Jina's clients."""
    api = EmbeddingsInference(caller)
    answers: dict[str, Answer] = {
        "/embed": api.embed,
        "/predict": api.predict,
        "/rerank": api.rerank,
        "/similarity": api.similarity,
        "/v1/rerank": api.rerank_documents,
        "/v2/rerank": api.rerank_documents,
    }
    return [Route(path, with_errors(_as_json(answer), _error), methods=["POST"]) for path, answer in answers.items()]


def _as_json(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        return JSONResponse(await answer(request))

    return answered


def _error(status: int, body: bytes, headers: Headers) -> Response:
    said = orjson.loads(body)
    content = said | {"error_type": _TYPES.get(said["error_type"], "validation")}
    response = Response(orjson.dumps(content), status, media_type="application/json")
    response.raw_headers.extend(headers)
    return response
