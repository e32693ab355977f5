"""The routes of TEI's API, and its errors."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.apis.caller import Caller, as_json
from serve.apis.embeddings_inference.classes import Classes, DocumentsRequest, PredictRequest, RerankRequest
from serve.apis.embeddings_inference.info import Info
from serve.apis.embeddings_inference.requests import CLASSES, VECTORS
from serve.apis.embeddings_inference.tokens import DecodeRequest, TokenizeRequest, Tokens
from serve.apis.embeddings_inference.vectors import EmbedAllRequest, EmbedRequest, SimilarityRequest, Vectors
from serve.apis.operation import Operation, routes_of
from serve.config.service import Limits
from serve.http.errors import ErrorAnswer
from serve.http.messages import Headers

# Ours to TEI's.
_TYPES = {
    "overloaded": "overloaded",
    "unavailable": "unhealthy",
    "deadline_exceeded": "backend",
    "forward_failed": "backend",
    "internal": "backend",
}

_of_vectors = partial(Operation, error=ErrorAnswer, tasks=VECTORS)
_of_classes = partial(Operation, error=ErrorAnswer, tasks=CLASSES)
_RERANK_DOCUMENTS = _of_classes(
    path="/v2/rerank", summary="Documents ranked for a query, as Cohere and Jina have it.", request=DocumentsRequest
)
OPERATIONS = (
    _of_vectors(path="/embed", summary="A vector for each text.", request=EmbedRequest, response=list[list[float]]),
    _of_vectors(
        path="/embed_all",
        summary="A vector for each token of each text.",
        request=EmbedAllRequest,
        response=list[list[list[float]]],
    ),
    _of_vectors(
        path="/similarity",
        summary="How near each sentence is to the first one.",
        request=SimilarityRequest,
        response=list[float],
    ),
    _of_classes(
        path="/predict",
        summary="The classes of a text or of a pair of texts, or of each of a list.",
        request=PredictRequest,
        response=list[Any],
    ),
    _of_classes(
        path="/rerank", summary="Texts ranked for a query.", request=RerankRequest, response=list[dict[str, Any]]
    ),
    _RERANK_DOCUMENTS,
    replace(_RERANK_DOCUMENTS, path="/v1/rerank"),
    Operation(
        path="/tokenize",
        summary="The tokens of texts; places in them are counted in bytes.",
        request=TokenizeRequest,
        response=list[list[dict[str, Any]]],
        error=ErrorAnswer,
    ),
    Operation(
        path="/decode", summary="The texts of token ids.", request=DecodeRequest, response=list[str], error=ErrorAnswer
    ),
    Operation(path="/info", summary="The model that is asked where none is named.", error=ErrorAnswer),
)


def embeddings_inference_routes(caller: Caller, limits: Limits) -> list[Route]:
    """TEI's, and the rerank of Cohere's and Jina's clients; `/embeddings` is OpenAI's."""
    vectors, classes, tokens = Vectors(caller), Classes(caller), Tokens(caller)
    answers: dict[str, Callable[[Request], Awaitable[Any]]] = {
        "/embed": vectors.embed,
        "/embed_all": vectors.embed_all,
        "/similarity": vectors.similarity,
        "/predict": classes.predict,
        "/rerank": classes.rerank,
        "/v1/rerank": classes.rerank_documents,
        "/v2/rerank": classes.rerank_documents,
        "/tokenize": tokens.tokenize,
        "/decode": tokens.decode,
        "/info": Info(caller, limits),
    }
    return routes_of(OPERATIONS, {path: as_json(answer) for path, answer in answers.items()}, _error)


def _error(status: int, body: bytes, headers: Headers) -> Response:
    said = orjson.loads(body)
    content = said | {"error_type": _TYPES.get(said["error_type"], "validation")}
    response = Response(orjson.dumps(content), status, media_type="application/json")
    response.raw_headers.extend(headers)
    return response
