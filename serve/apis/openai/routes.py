"""The routes of OpenAI's API."""

from dataclasses import replace
from functools import partial

from starlette.routing import Route

from serve.apis.caller import Answer, Caller
from serve.apis.openai import audio, chat, completions, embeddings
from serve.apis.openai.audio import Audio, AudioRequest
from serve.apis.openai.chat import Chat, ChatRequest
from serve.apis.openai.completions import CompletionRequest, Completions
from serve.apis.openai.embeddings import Embeddings, EmbeddingsRequest
from serve.apis.openai.errors import OpenAIError, openai_error
from serve.apis.operation import Operation, routes_of
from serve.http.sse import EVENT_STREAM

_operation = partial(Operation, error=OpenAIError)
CHAT = _operation(
    path="/v1/chat/completions",
    summary="The next message of a chat.",
    request=ChatRequest,
    tasks=chat.TASKS,
    also=(EVENT_STREAM,),
)
COMPLETIONS = _operation(
    path="/v1/completions",
    summary="The text that goes on where a prompt ends.",
    request=CompletionRequest,
    tasks=completions.TASKS,
    also=(EVENT_STREAM,),
)
_EMBEDDINGS = _operation(
    path="/v1/embeddings", summary="A vector for each text.", request=EmbeddingsRequest, tasks=embeddings.TASKS
)
_TRANSCRIPTIONS = _operation(
    path="/v1/audio/transcriptions",
    summary="A recording's text.",
    request=AudioRequest,
    tasks=tuple(audio.PIECES),
    is_form=True,
    also=("text/plain", EVENT_STREAM),
)
OPERATIONS = (
    CHAT,
    COMPLETIONS,
    _EMBEDDINGS,
    replace(_EMBEDDINGS, path="/embeddings"),
    _TRANSCRIPTIONS,
    replace(_TRANSCRIPTIONS, path="/v1/audio/translations", summary="A recording's text in English."),
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
    return routes_of(OPERATIONS, answers, openai_error)
