"""The routes of OpenAI's API."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.apis.caller import Caller, with_errors
from serve.apis.openai import audio, chat, completions, embeddings
from serve.apis.openai.audio import Audio, AudioRequest
from serve.apis.openai.chat import Chat, ChatRequest
from serve.apis.openai.completions import CompletionRequest, Completions
from serve.apis.openai.embeddings import Embeddings, EmbeddingsRequest
from serve.apis.openai.errors import OpenAIError, openai_error
from serve.apis.operation import Operation
from serve.event_stream import EVENT_STREAM

Answer = Callable[[Request], Awaitable[Response]]

CHAT = Operation(
    path="/v1/chat/completions",
    summary="The next message of a chat.",
    request=ChatRequest,
    error=OpenAIError,
    tasks=chat.TASKS,
    also=(EVENT_STREAM,),
)
COMPLETIONS = Operation(
    path="/v1/completions",
    summary="The text that goes on where a prompt ends.",
    request=CompletionRequest,
    error=OpenAIError,
    tasks=completions.TASKS,
    also=(EVENT_STREAM,),
)
EMBEDDINGS = Operation(
    path="/v1/embeddings",
    summary="A vector for each text.",
    request=EmbeddingsRequest,
    error=OpenAIError,
    tasks=embeddings.TASKS,
)
TRANSCRIPTIONS = Operation(
    path="/v1/audio/transcriptions",
    summary="A recording's text.",
    request=AudioRequest,
    error=OpenAIError,
    tasks=tuple(audio.PIECES),
    is_form=True,
    also=("text/plain", EVENT_STREAM),
)
OPERATIONS = (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    replace(EMBEDDINGS, path="/embeddings"),
    TRANSCRIPTIONS,
    replace(TRANSCRIPTIONS, path="/v1/audio/translations", summary="A recording's text in English."),
)


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
