"""`/embed`, `/embed_sparse`, `/embed_all` and `/similarity`: vectors of texts or tokens, and their similarity."""

from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request

from deployments.errors import InvalidInput
from deployments.text.tokens import TokenIds
from serve.apis.client_request import ClientRequest
from serve.apis.embeddings_inference.requests import VECTORS, TEIRequest, Texts, Truncation, as_list
from serve.apis.model_client import ModelClient
from serve.apis.vector_kinds import require_vectors


class EmbedAllRequest(Truncation):
    lacking = {"dimensions": ()}

    inputs: str | Texts | TokenIds | Annotated[list[TokenIds], Field(min_length=1)]
    prompt_name: str | None = None

    def as_task(self) -> dict[str, Any]:
        """The task's own request: always a list, so that the answer is one."""
        return self.model_dump(exclude={"model"}, exclude_none=True) | {"inputs": as_list(self.inputs)}


class EmbedRequest(EmbedAllRequest):
    lacking = {}

    normalize: bool = True
    dimensions: int | None = None


class Sentences(ClientRequest):
    source_sentence: str
    sentences: Texts


class SimilarityParameters(Truncation):
    prompt_name: str | None = None


class SimilarityRequest(TEIRequest):
    inputs: Sentences
    parameters: SimilarityParameters | None = None


class Vectors:
    """Handles embedding requests."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client

    async def embed(self, request: Request) -> Any:
        """`[[f]]`, a vector for each text."""
        payload: EmbedRequest = await self._client.read(request, EmbedRequest)
        return await self._pooled(request, payload.model, payload.as_task())

    async def embed_sparse(self, request: Request) -> Any:
        """`[[{index, value}]]`, the entries of each text's sparse vector that are not zero."""
        payload: EmbedAllRequest = await self._client.read(request, EmbedAllRequest)
        route = self._client.route(payload.model, VECTORS, "embeddings")
        require_vectors(route, "sparse")
        return (await self._client.post(request, route, payload.as_task())).json()

    async def embed_all(self, request: Request) -> Any:
        """`[[[f]]]`, a vector for each token of each text, whatever the model's pooling; not normalised, unless the
        model itself gives a vector per token."""
        payload: EmbedAllRequest = await self._client.read(request, EmbedAllRequest)
        route = self._client.route(payload.model, VECTORS, "embeddings")
        require_vectors(route, "dense", "several")
        body = payload.as_task()
        if route.kind.vectors == "dense":
            body |= {"pooling": "none", "normalize": False}
        return (await self._client.post(request, route, body)).json()

    async def similarity(self, request: Request, *, truncate: bool = False) -> Any:
        """`[f]`: the similarity of each sentence to the source sentence, by the model's own function. `truncate` is the
        option's default."""
        payload: SimilarityRequest = await self._client.read(request, SimilarityRequest)
        parameters = payload.parameters or SimilarityParameters()
        options = {"truncate": truncate} | parameters.model_dump(
            exclude={"model"}, exclude_unset=True, exclude_none=True
        )
        route = self._client.route(payload.model, VECTORS, "embeddings")
        body = {"inputs": payload.inputs.model_dump()} | options
        return (await self._client.post(request, route, body)).json()

    async def _pooled(self, request: Request, model: str | None, body: dict[str, Any]) -> list[list[float]]:
        route = self._client.route(model, VECTORS, "embeddings")
        require_vectors(route, "dense")
        vectors: list[Any] = (await self._client.post(request, route, body)).json()
        if isinstance(vectors[0][0], list):
            raise InvalidInput(
                f"model: {route.model!r} returns one vector per token; set `pooling` in its configuration"
            )
        return vectors
