"""`/tokenize` and `/decode`: a model's tokens, of whatever task."""

from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request

from deployments.text.tokens import TokenIds
from serve.apis.caller import Caller
from serve.apis.embeddings_inference.requests import CLASSES, VECTORS, TEIRequest, Texts


class TokenizeRequest(TEIRequest):
    inputs: str | Texts
    add_special_tokens: bool = True
    prompt_name: str | None = None


class DecodeRequest(TEIRequest):
    ids: TokenIds | Annotated[list[TokenIds], Field(min_length=1)]
    skip_special_tokens: bool = True


class Tokens:
    """Asks a replica, where the tokenizer is."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def tokenize(self, request: Request) -> Any:
        """`[[{id, text, special, start, stop}]]`; start and stop count bytes, as in TEI."""
        asked: TokenizeRequest = await self._caller.read(request, TokenizeRequest)
        return await self._ask(request, asked, "/tokenize", {"offsets": "bytes"})

    async def decode(self, request: Request) -> Any:
        """`[text]`."""
        asked: DecodeRequest = await self._caller.read(request, DecodeRequest)
        return await self._ask(request, asked, "/decode", {})

    async def _ask(self, request: Request, asked: TEIRequest, path: str, options: dict[str, Any]) -> Any:
        route = self._caller.named(asked.model, VECTORS + CLASSES)
        body = asked.model_dump(exclude={"model"}, exclude_none=True) | options
        return (await self._caller.ask(request, route, body, path)).json()
