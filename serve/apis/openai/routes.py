"""The routes of OpenAI's API."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.apis.caller import Caller, with_errors
from serve.apis.openai.audio import Audio
from serve.apis.openai.chat import Chat
from serve.apis.openai.completions import Completions
from serve.apis.openai.embeddings import Embeddings
from serve.apis.openai.errors import openai_error

Answer = Callable[[Request], Awaitable[Response]]


def openai_routes(caller: Caller) -> list[Route]:
    """`/v1/…`, and TEI's other name for embeddings; the list of models is the gateway's own."""
    answers: dict[str, Answer] = {
        "/embeddings": Embeddings(caller),
        "/v1/chat/completions": Chat(caller),
        "/v1/completions": Completions(caller),
        "/v1/embeddings": Embeddings(caller),
        "/v1/audio/transcriptions": Audio(caller),
        "/v1/audio/translations": Audio(caller, "translate"),
    }
    return [Route(path, with_errors(answer, openai_error), methods=["POST"]) for path, answer in answers.items()]
