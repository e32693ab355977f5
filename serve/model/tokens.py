"""Paths below a model's own that need its tokenizer: `/tokenize` and `/decode`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from deployments.contract.task import Body
from deployments.errors import MethodNotAllowed
from deployments.replica.replica import Replica
from deployments.text.tokens import DecodeRequest, TokenizeRequest, TokenOfText, decode, tokenize
from serve.config.service import Limits
from serve.http.body import BodyReader
from serve.http.messages import Receive, Scope
from serve.routes import Route


class TokenOperation(NamedTuple):
    """What one path does.

    Attributes:
        request: type of the body.
        response: type of the answer.
        run: called on the text thread with the task, the request, and the maximum number of tokens.
        summary: for the OpenAPI document.
    """

    request: type[Body]
    response: Any
    run: Callable[[Any, Any, int], Any]
    summary: str


# By path below the model's own.
OPERATIONS = {
    "/tokenize": TokenOperation(TokenizeRequest, list[list[TokenOfText]], tokenize, "The tokens of texts."),
    "/decode": TokenOperation(DecodeRequest, list[str], decode, "The texts of token ids."),
}


class TokenPaths:
    """Answers the requests to one model's token paths.

    Args:
        replica: of the model.
        route: to it.
        limits: of the service.
    """

    def __init__(self, replica: Replica, route: Route, limits: Limits) -> None:
        self._replica = replica
        self._limits = limits
        self._readers = {
            route.path + path: (BodyReader(operation.request, "text", limits), operation)
            for path, operation in OPERATIONS.items()
        }

    def __contains__(self, path: str) -> bool:
        return path in self._readers

    async def answer(self, scope: Scope, receive: Receive) -> bytes:
        """The response's body.

        Raises:
            ServiceError: the request is invalid, or the replica is overloaded.
        """
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{scope['method']} is not allowed; POST a request")
        reader, operation = self._readers[scope["path"]]
        max_tokens, timeout_s = self._limits.max_input_tokens, self._limits.request_timeout_s
        with self._replica.place(timeout_s):
            request = await reader.read(scope, receive)
            return await self._replica.on_text_thread(
                lambda task: orjson.dumps(operation.run(task, request, max_tokens)), timeout_s
            )
