"""The routes of TEI's API, and its errors."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.apis.caller import Caller, with_errors
from serve.apis.embeddings_inference.classes import Classes
from serve.apis.embeddings_inference.info import Info
from serve.apis.embeddings_inference.tokens import Tokens
from serve.apis.embeddings_inference.vectors import Vectors
from serve.config import Limits
from serve.json_response import JSONResponse
from serve.messages import Headers

Answer = Callable[[Request], Awaitable[Any]]
# Ours to TEI's.
_TYPES = {
    "overloaded": "overloaded",
    "unavailable": "unhealthy",
    "deadline_exceeded": "backend",
    "forward_failed": "backend",
    "internal": "backend",
}


def embeddings_inference_routes(caller: Caller, limits: Limits) -> list[Route]:
    """TEI's, and the rerank of Cohere's and Jina's clients; `/embeddings` is OpenAI's."""
    vectors, classes, tokens = Vectors(caller), Classes(caller), Tokens(caller)
    posted: dict[str, Answer] = {
        "/embed": vectors.embed,
        "/embed_all": vectors.embed_all,
        "/similarity": vectors.similarity,
        "/predict": classes.predict,
        "/rerank": classes.rerank,
        "/v1/rerank": classes.rerank_documents,
        "/v2/rerank": classes.rerank_documents,
        "/tokenize": tokens.tokenize,
        "/decode": tokens.decode,
    }
    return [
        Route("/info", _route(Info(caller, limits))),
        *(Route(path, _route(answer), methods=["POST"]) for path, answer in posted.items()),
    ]


def _route(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        return JSONResponse(await answer(request))

    return with_errors(answered, _error)


def _error(status: int, body: bytes, headers: Headers) -> Response:
    said = orjson.loads(body)
    content = said | {"error_type": _TYPES.get(said["error_type"], "validation")}
    response = Response(orjson.dumps(content), status, media_type="application/json")
    response.raw_headers.extend(headers)
    return response
