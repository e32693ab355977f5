"""`/embed`, `/embed_all` and `/similarity`: vectors of texts, of their tokens, and how near they are."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from deployments.errors import InvalidInput
from deployments.text.tokens import TokenIds
from serve.apis.caller import Caller
from serve.apis.embeddings_inference.requests import VECTORS, TEIRequest, Texts, Truncation, as_list


class EmbedAllRequest(Truncation):
    inputs: str | Texts | TokenIds | Annotated[list[TokenIds], Field(min_length=1)]
    prompt_name: str | None = None

    def as_task(self) -> dict[str, Any]:
        """The task's own request: always a list, so that the answer is one."""
        return self.model_dump(exclude={"model"}, exclude_none=True) | {"inputs": as_list(self.inputs)}


class EmbedRequest(EmbedAllRequest):
    normalize: bool = True
    dimensions: int | None = None


class Sentences(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source_sentence: str
    sentences: Texts


class SimilarityParameters(Truncation):
    prompt_name: str | None = None


class SimilarityRequest(TEIRequest):
    inputs: Sentences
    parameters: SimilarityParameters | None = None


class Vectors:
    """Answers texts with vectors."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def embed(self, request: Request) -> Any:
        """`[[f]]`, a vector for each text."""
        asked: EmbedRequest = await self._caller.read(request, EmbedRequest)
        return await self._pooled(request, asked.model, asked.as_task())

    async def embed_all(self, request: Request) -> Any:
        """`[[[f]]]`, a vector for each token of each text, whatever the model's pooling; not normalised."""
        asked: EmbedAllRequest = await self._caller.read(request, EmbedAllRequest)
        route = self._caller.route(asked.model, VECTORS, "embeddings")
        body = asked.as_task() | {"pooling": "none", "normalize": False}
        return (await self._caller.ask(request, route, body)).json()

    async def similarity(self, request: Request, *, truncate: bool = False) -> Any:
        """`[f]`: the cosine of each sentence's vector with the first one's. `truncate` is the default of its option."""
        asked: SimilarityRequest = await self._caller.read(request, SimilarityRequest)
        given = asked.parameters or SimilarityParameters()
        options = {"truncate": truncate} | given.model_dump(exclude={"model"}, exclude_unset=True, exclude_none=True)
        texts = [asked.inputs.source_sentence, *asked.inputs.sentences]
        source, *others = await self._pooled(request, asked.model, {"inputs": texts, "normalize": True} | options)
        return [sum(a * b for a, b in zip(source, other, strict=True)) for other in others]

    async def _pooled(self, request: Request, model: str | None, body: dict[str, Any]) -> list[list[float]]:
        route = self._caller.route(model, VECTORS, "embeddings")
        vectors: list[Any] = (await self._caller.ask(request, route, body)).json()
        if isinstance(vectors[0][0], list):
            raise InvalidInput(f"model: {route.model!r} gives a vector per token; set `pooling` in its configuration")
        return vectors
