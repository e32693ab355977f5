"""The routes of TEI's API, and its error format."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from deployments.tasks.feature_extraction_sparse import SparseValue
from serve.apis.embeddings_inference.classes import Classes, DocumentsRequest, PredictRequest, RerankRequest
from serve.apis.embeddings_inference.info import Info
from serve.apis.embeddings_inference.requests import CLASSES, VECTORS
from serve.apis.embeddings_inference.tokens import DecodeRequest, TokenizeRequest, Tokens
from serve.apis.embeddings_inference.vectors import EmbedAllRequest, EmbedRequest, SimilarityRequest, Vectors
from serve.apis.model_client import ModelClient, as_json
from serve.apis.operation import Operation, build_routes
from serve.config.service import Limits
from serve.http.errors import ErrorAnswer, ErrorFormat

# The service's `error_type` to TEI's; all others are `validation`.
_TYPES = {
    "overloaded": "overloaded",
    "unavailable": "unhealthy",
    "deadline_exceeded": "backend",
    "forward_failed": "backend",
    "internal": "backend",
}

_of_vectors = partial(Operation, error=ErrorAnswer, tasks=VECTORS)
_of_classes = partial(Operation, error=ErrorAnswer, tasks=CLASSES)
_of_ranks = partial(_of_classes, vectors=("several",))
_RERANK_DOCUMENTS = _of_ranks(
    path="/v2/rerank", summary="Documents ranked for a query, in Cohere's and Jina's format.", request=DocumentsRequest
)
OPERATIONS = (
    _of_vectors(path="/embed", summary="A vector for each text.", request=EmbedRequest, response=list[list[float]]),
    _of_vectors(
        path="/embed_sparse",
        summary="A sparse vector for each text.",
        request=EmbedAllRequest,
        response=list[list[SparseValue]],
    ),
    _of_vectors(
        path="/embed_all",
        summary="A vector for each token of each text.",
        request=EmbedAllRequest,
        response=list[list[list[float]]],
    ),
    _of_vectors(
        path="/similarity",
        summary="The similarity of each sentence to the source sentence.",
        request=SimilarityRequest,
        response=list[float],
    ),
    _of_classes(
        path="/predict",
        summary="The classes of a text, of a pair of texts, or of a batch.",
        request=PredictRequest,
        response=list[Any],
    ),
    _of_ranks(
        path="/rerank", summary="Texts ranked for a query.", request=RerankRequest, response=list[dict[str, Any]]
    ),
    _RERANK_DOCUMENTS,
    replace(_RERANK_DOCUMENTS, path="/v1/rerank"),
    Operation(
        path="/tokenize",
        summary="The tokens of texts, with offsets in bytes.",
        request=TokenizeRequest,
        response=list[list[dict[str, Any]]],
        error=ErrorAnswer,
    ),
    Operation(
        path="/decode", summary="The texts of token ids.", request=DecodeRequest, response=list[str], error=ErrorAnswer
    ),
    Operation(path="/info", summary="The default model's properties.", error=ErrorAnswer),
)


def embeddings_inference_routes(client: ModelClient, limits: Limits) -> list[Route]:
    """TEI's routes, and rerank of Cohere's and Jina's clients; `/embeddings` is among OpenAI's."""
    vectors, classes, tokens = Vectors(client), Classes(client), Tokens(client)
    handlers: dict[str, Callable[[Request], Awaitable[Any]]] = {
        "/embed": vectors.embed,
        "/embed_sparse": vectors.embed_sparse,
        "/embed_all": vectors.embed_all,
        "/similarity": vectors.similarity,
        "/predict": classes.predict,
        "/rerank": classes.rerank,
        "/v1/rerank": classes.rerank_documents,
        "/v2/rerank": classes.rerank_documents,
        "/tokenize": tokens.tokenize,
        "/decode": tokens.decode,
        "/info": Info(client, limits),
    }
    return build_routes(OPERATIONS, {path: as_json(handler) for path, handler in handlers.items()}, tei_error)


tei_error = ErrorFormat(lambda content: content | {"error_type": _TYPES.get(content["error_type"], "validation")})
"""The service's error object as TEI's: the same fields, and TEI's types."""
