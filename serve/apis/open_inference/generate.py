"""Triton's generate extension: text in, text out, at once or as a stream."""

from collections.abc import AsyncGenerator
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import InvalidInput
from serve.apis.model_client import ModelClient
from serve.apis.open_inference.inference import OpenInference
from serve.apis.open_inference.messages import VERSION
from serve.apis.open_inference.request import input_tensors, place_parameters
from serve.http.errors import JSONResponse
from serve.http.sse import event_response
from serve.routes import Route

_TEXT = "text"  # the input tensor that `text_input` stands for
_RENAMED = {"max_tokens": "max_new_tokens"}


class GenerateRequest(BaseModel):
    """The body. It may also have input tensors of one element, and parameters."""

    model_config = ConfigDict(extra="allow", strict=True)

    text_input: str
    parameters: dict[str, Any] = {}


class Generate:
    """Handles generate requests."""

    def __init__(self, client: ModelClient, inference: OpenInference) -> None:
        self._client = client
        self._inference = inference

    async def whole(self, request: Request) -> Response:
        """`{model_name, model_version, text_output}`; a list of texts if several are requested."""
        route, body, options = await self._read(request)
        if options.get("stream"):
            raise InvalidInput("parameters.stream: is true; use /generate_stream")
        answers = (await self._client.post(request, route, body)).json()[0]
        texts = [answer["generated_text"] for answer in answers]
        content = _head(route) | {"text_output": texts[0] if len(texts) == 1 else texts}
        if "details" in answers[0] and len(texts) == 1:
            content["details"] = _with_logprobs(answers[0]["details"])
        return JSONResponse(content)

    async def stream(self, request: Request) -> Response:
        """The same for each piece of the text, as events."""
        route, body, options = await self._read(request)
        if options.get("num_return_sequences", 1) != 1:
            raise InvalidInput("parameters.num_return_sequences: a stream has one text; use /generate for several")
        single = body | {"inputs": body["inputs"][0]}
        return await event_response(self._events(request, route, single, bool(options.get("details"))))

    async def _events(
        self, request: Request, route: Route, body: dict[str, Any], with_details: bool
    ) -> AsyncGenerator[dict[str, Any], None]:
        async for event in self._client.stream(request, route, body):
            if "error" in event:
                yield {"error": event["error"]}
                return
            content = _head(route) | {"text_output": event["token"]["text"]}
            if with_details:
                reason = event["details"]["finish_reason"] if event["details"] else None
                content["details"] = {"finish_reason": reason, "token": event["token"]}
            yield content

    async def _read(self, request: Request) -> tuple[Route, dict[str, Any], dict[str, Any]]:
        """The model's route, the task's own request, and the options as given."""
        names = request.path_params
        route = self._inference.route(names["model"], names.get("version", ""))
        if route.kind.event_type is None:
            raise InvalidInput(f"model: {route.model!r} does {route.task}, which generates no text; use /infer")
        payload: GenerateRequest = await self._client.read(request, GenerateRequest)
        sources = input_tensors(route.kind).sources
        extra = payload.model_extra or {}
        inputs = {name: value for name, value in extra.items() if name in sources}
        options = {name: value for name, value in extra.items() if name not in sources} | payload.parameters
        item = payload.text_input if not inputs else inputs | {_TEXT: payload.text_input}
        return route, {"inputs": [item]} | place_parameters(route.kind, _options(options)), options


def _options(options: dict[str, Any]) -> dict[str, Any]:
    """The task's parameters. With these clients, temperature 0 means greedy decoding."""
    options = {_RENAMED.get(name, name): value for name, value in options.items() if name != "stream"}
    if options.get("temperature") == 0:
        options = {name: value for name, value in options.items() if name not in ("temperature", "top_p", "top_k")}
        options["do_sample"] = False
    return options


def _head(route: Route) -> dict[str, Any]:
    return {"model_name": route.model, "model_version": VERSION}


def _with_logprobs(details: dict[str, Any]) -> dict[str, Any]:
    """The task's details, with the protocol's name for the tokens as well."""
    return details | {"logprobs": details["tokens"]}
