"""`/tokenize` and `/decode`: the tokens of a model of any task."""

from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request

from deployments.text.tokens import TokenIds
from serve.apis.embeddings_inference.requests import CLASSES, VECTORS, TEIRequest, Texts
from serve.apis.model_client import ModelClient


class TokenizeRequest(TEIRequest):
    inputs: str | Texts
    add_special_tokens: bool = True
    prompt_name: str | None = None


class DecodeRequest(TEIRequest):
    ids: TokenIds | Annotated[list[TokenIds], Field(min_length=1)]
    skip_special_tokens: bool = True


class Tokens:
    """Passes requests on to a replica, which has the tokenizer."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client

    async def tokenize(self, request: Request) -> Any:
        """`[[{id, text, special, start, stop}]]`; offsets in bytes, as in TEI."""
        payload: TokenizeRequest = await self._client.read(request, TokenizeRequest)
        return await self._post(request, payload, "/tokenize", {"offsets": "bytes"})

    async def decode(self, request: Request) -> Any:
        """`[text]`."""
        payload: DecodeRequest = await self._client.read(request, DecodeRequest)
        return await self._post(request, payload, "/decode", {})

    async def _post(self, request: Request, payload: TEIRequest, path: str, options: dict[str, Any]) -> Any:
        route = self._client.any_route(payload.model, VECTORS + CLASSES)
        body = payload.model_dump(exclude={"model"}, exclude_none=True) | options
        return (await self._client.post(request, route, body, path)).json()
