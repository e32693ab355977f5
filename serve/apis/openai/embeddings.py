"""`/v1/embeddings`: a vector for each text."""

from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import InvalidInput
from deployments.text.tokens import TokenIds, are_ids
from serve.apis.client_request import ClientRequest
from serve.apis.model_client import ModelClient
from serve.apis.vector_kinds import require_vectors
from serve.http.errors import JSONResponse

TASKS = ("feature-extraction",)


class EmbeddingsRequest(ClientRequest):
    """The body of a request."""

    lacking = {"truncate_prompt_tokens": (), "additional_data": ()}
    # `input_type`: of Jina's, Cohere's and NVIDIA's clients, for models that have a prompt for each.
    without_effect = frozenset({"user", "input_type", "priority"})

    model: str | None = None  # required by OpenAI, omitted by TEI's clients
    input: (
        str
        | Annotated[list[str | dict[str, str]], Field(min_length=1)]  # objects as Jina's `{"image": …}`
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1)]
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None

    def as_task(self) -> dict[str, Any]:
        """The task's own request: always a list, so that the answer is one."""
        inputs = [self.input] if isinstance(self.input, str) or are_ids(self.input) else self.input
        options = {"dimensions": self.dimensions} if self.dimensions is not None else {}
        return {"inputs": inputs, "encoding_format": self.encoding_format} | options


class Embeddings:
    """Handles embedding requests."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client

    async def __call__(self, request: Request) -> Response:
        payload: EmbeddingsRequest = await self._client.read(request, EmbeddingsRequest)
        route = self._client.route(payload.model, TASKS, "embeddings")
        require_vectors(route, "dense")
        reply = await self._client.post(request, route, payload.as_task())
        vectors = reply.json()
        if isinstance(vectors[0], list) and isinstance(vectors[0][0], list):
            raise InvalidInput(
                f"model: {route.model!r} returns one vector per token; set `pooling` in its configuration"
            )
        data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
        tokens = int(reply.header(b"x-prompt-tokens") or 0)
        used = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": data, "model": route.model, "usage": used})
