"""summarization and translation: views of text2text-generation, with the clients' field names."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from serve.apis.huggingface.view_request import ViewRequest
from serve.apis.model_client import ModelClient
from serve.http.errors import JSONResponse

TASKS = ("text2text-generation",)
TRUNCATING = ("longest_first", "only_first")
PUNCTUATION = (".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re")  # after a space in detokenized text


class Parameters(BaseModel):
    """The view's parameters; all others are the task's."""

    model_config = ConfigDict(extra="allow")

    truncation: Literal["do_not_truncate", "longest_first", "only_first", "only_second"] | None = None
    clean_up_tokenization_spaces: bool = False

    def as_task(self) -> dict[str, Any]:
        truncate = {} if self.truncation is None else {"truncate": self.truncation in TRUNCATING}
        return (self.model_extra or {}) | truncate


class TextToTextRequest(ViewRequest):
    inputs: Any
    parameters: Parameters = Parameters()


class TextToText:
    """`[{field}]`, with an entry for each generated text.

    Args:
        caller: asks the model.
        field: the text's name in the response.
        view: its name, for the prefix and options that a checkpoint has for it, and for error messages.
    """

    def __init__(self, client: ModelClient, field: str, view: str) -> None:
        self._client = client
        self._field = field
        self._view = view

    async def __call__(self, request: Request) -> Response:
        payload: TextToTextRequest = await self._client.read(request, TextToTextRequest)
        route = self._client.route(None, TASKS, self._view)
        parameters = {"task": self._view} | payload.parameters.as_task()
        body = {"inputs": payload.inputs, "parameters": parameters} | payload.others()
        reply = await self._client.post(request, route, body)
        texts = [text for item in reply.json() for text in (item if isinstance(item, list) else [item])]
        return JSONResponse([self._named(text, payload.parameters) for text in texts])

    def _named(self, text: dict[str, Any], parameters: Parameters) -> dict[str, Any]:
        if "generated_text" not in text:  # an error in a partial answer
            return text
        generated = text.pop("generated_text")
        return {self._field: _cleaned(generated) if parameters.clean_up_tokenization_spaces else generated} | text


def _cleaned(text: str) -> str:
    """The text without spaces before punctuation, as transformers' `clean_up_tokenization` returns it."""
    for mark in PUNCTUATION:
        text = text.replace(f" {mark}", mark)
    return text.replace(" ' ", "'")
