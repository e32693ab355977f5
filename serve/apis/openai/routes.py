"""The routes of OpenAI's API."""

from dataclasses import replace
from functools import partial

from starlette.routing import Route

from serve.apis.model_client import Handler, ModelClient
from serve.apis.openai import audio, chat, completions, embeddings
from serve.apis.openai.audio import Audio, AudioRequest
from serve.apis.openai.chat import Chat, ChatRequest
from serve.apis.openai.completions import CompletionRequest, Completions
from serve.apis.openai.embeddings import Embeddings, EmbeddingsRequest
from serve.apis.openai.errors import OpenAIError, openai_error
from serve.apis.operation import Operation, build_routes
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
    summary="The continuation of a prompt.",
    request=CompletionRequest,
    tasks=completions.TASKS,
    also=(EVENT_STREAM,),
)
_EMBEDDINGS = _operation(
    path="/v1/embeddings", summary="A vector for each text.", request=EmbeddingsRequest, tasks=embeddings.TASKS
)
_TRANSCRIPTIONS = _operation(
    path="/v1/audio/transcriptions",
    summary="The text of a recording.",
    request=AudioRequest,
    tasks=tuple(audio.TIMED),
    is_form=True,
    also=("text/plain", EVENT_STREAM),
)
OPERATIONS = (
    CHAT,
    COMPLETIONS,
    _EMBEDDINGS,
    replace(_EMBEDDINGS, path="/embeddings"),
    _TRANSCRIPTIONS,
    replace(_TRANSCRIPTIONS, path="/v1/audio/translations", summary="The text of a recording in English."),
)


def openai_routes(client: ModelClient) -> list[Route]:
    """`/v1/…`, and TEI's alias for embeddings; the gateway itself lists the models."""
    handlers: dict[str, Handler] = {
        "/embeddings": Embeddings(client),
        "/v1/chat/completions": Chat(client),
        "/v1/completions": Completions(client),
        "/v1/embeddings": Embeddings(client),
        "/v1/audio/transcriptions": Audio(client),
        "/v1/audio/translations": Audio(client, "translate"),
    }
    return build_routes(OPERATIONS, handlers, openai_error)
