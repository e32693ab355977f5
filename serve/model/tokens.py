"""The small paths below a model's own: `/tokenize` and `/decode`, where its tokenizer is."""

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


class Operation(NamedTuple):
    """What one path does.

    Attributes:
        request: type of the body.
        response: type of the answer.
        answer: called on the text thread with the task, the request, and the most tokens that one may be about.
        summary: of what it does.
    """

    request: type[Body]
    response: Any
    answer: Callable[[Any, Any, int], Any]
    summary: str


OPERATIONS = {
    "/tokenize": Operation(TokenizeRequest, list[list[TokenOfText]], tokenize, "The tokens of texts."),
    "/decode": Operation(DecodeRequest, list[str], decode, "The texts of token ids."),
}
"""By path, behind the one that names the model."""


class TokenPaths:
    """Answers one model's.

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
        """The answer's body.

        Raises:
            ServiceError: what was wrong.
        """
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{scope['method']} is not possible here; POST a request")
        reader, operation = self._readers[scope["path"]]
        most, timeout_s = self._limits.max_input_tokens, self._limits.request_timeout_s
        with self._replica.place(timeout_s):
            request = await reader.read(scope, receive)
            return await self._replica.on_text_thread(
                lambda task: orjson.dumps(operation.answer(task, request, most)), timeout_s
            )
