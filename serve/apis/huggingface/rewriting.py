"""summarization and translation: a text made from another, by text2text-generation, under the names of the clients."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from serve.apis.caller import Caller
from serve.apis.huggingface.view_request import ViewRequest
from serve.http.errors import JSONResponse

TASKS = ("text2text-generation",)
CUTTING = ("longest_first", "only_first")
MARKS = (".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re")  # before which tokenizers of words leave a space


class Parameters(BaseModel):
    """What the clients say beside the task's own parameters."""

    model_config = ConfigDict(extra="allow")

    truncation: Literal["do_not_truncate", "longest_first", "only_first", "only_second"] | None = None
    clean_up_tokenization_spaces: bool = False

    def as_task(self) -> dict[str, Any]:
        cut = {} if self.truncation is None else {"truncate": self.truncation in CUTTING}
        return (self.model_extra or {}) | cut


class RewritingRequest(ViewRequest):
    inputs: Any
    parameters: Parameters = Parameters()


class Rewriting:
    """`[{field}]`, an entry for each text that was written.

    Args:
        caller: asks the model.
        field: the text's name in the answer.
        what: is done.
    """

    def __init__(self, caller: Caller, field: str, what: str) -> None:
        self._caller = caller
        self._field = field
        self._what = what

    async def __call__(self, request: Request) -> Response:
        asked: RewritingRequest = await self._caller.read(request, RewritingRequest)
        route = self._caller.route(None, TASKS, self._what)
        body = {"inputs": asked.inputs, "parameters": asked.parameters.as_task()} | asked.others()
        reply = await self._caller.ask(request, route, body)
        texts = [text for item in reply.json() for text in (item if isinstance(item, list) else [item])]
        return JSONResponse([self._named(text, asked.parameters) for text in texts])

    def _named(self, text: dict[str, Any], parameters: Parameters) -> dict[str, Any]:
        if "generated_text" not in text:  # an error in a partial answer
            return text
        written = text.pop("generated_text")
        return {self._field: _cleaned(written) if parameters.clean_up_tokenization_spaces else written} | text


def _cleaned(text: str) -> str:
    """Without the spaces that tokenizers of words leave before marks, as transformers cleans up."""
    for mark in MARKS:
        text = text.replace(f" {mark}", mark)
    return text.replace(" ' ", "'")
