"""`/v1/audio/transcriptions` and `/v1/audio/translations`: speech recognition."""

import base64
from collections.abc import AsyncGenerator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from deployments.errors import InvalidInput, UnsupportedMedia
from serve.apis.model_client import ModelClient
from serve.apis.openai.errors import openai_error
from serve.apis.openai.generation import DONE
from serve.apis.openai.subtitles import srt, vtt
from serve.http.errors import JSONResponse, validation_error
from serve.http.form import FORM, open_form
from serve.http.messages import media_type
from serve.http.sse import event_response
from serve.routes import Route

# The timestamp granularity of each task.
TIMESTAMPS = {"speech-recognition-seq2seq": "segment", "speech-recognition-ctc": "word"}


class AudioRequest(BaseModel):
    """The fields of the form."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    file: bytes
    model: str
    language: str | None = None
    response_format: Literal["json", "text", "srt", "vtt", "verbose_json"] = "json"
    temperature: float | None = None
    timestamp_granularities: list[Literal["word", "segment"]] = []
    stream: bool = False

    def as_task(self, route: Route, task: str | None) -> dict[str, Any]:
        """The task's own request."""
        parameters: dict[str, Any] = {}
        if self.response_format in ("srt", "vtt", "verbose_json"):
            wants_words = self.timestamp_granularities == ["word"]
            parameters["return_timestamps"] = "word" if wants_words else TIMESTAMPS[route.task]
        if self.language is not None:
            parameters["language"] = self.language
        if self.temperature:  # 0, OpenAI's default, means greedy decoding
            parameters["temperature"] = self.temperature
        if task is not None:
            parameters["task"] = task
        return {"inputs": base64.b64encode(self.file).decode(), "parameters": parameters}


class Audio:
    """Handles audio requests.

    Args:
        caller: asks the models.
        task: `translate`, or None for the model's default.
    """

    def __init__(self, client: ModelClient, task: str | None = None) -> None:
        self._client = client
        self._task = task

    async def __call__(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        if media_type(content_type) != FORM:
            raise UnsupportedMedia(f"expected {FORM}, not {content_type or 'no content type'}")
        body = await self._client.read_bytes(request)
        async with open_form(body, content_type, max_files=2) as form:
            payload = await _read(form)
        route = self._client.route(payload.model, TIMESTAMPS, "speech recognition")
        content = payload.as_task(route, self._task)
        if payload.stream:
            return await event_response(self._chunks(request, route, content), DONE)
        return _response(payload, (await self._client.post(request, route, content)).json(), self._task)

    async def _chunks(
        self, request: Request, route: Route, content: dict[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        async for event in self._client.stream(request, route, content):
            if "error" in event:
                yield openai_error(event)
                return
            if event["token"]["text"]:
                yield {"type": "transcript.text.delta", "delta": event["token"]["text"]}
            if event["details"]:
                yield {"type": "transcript.text.done", "text": event["generated_text"]}


async def _read(form: FormData) -> AudioRequest:
    values: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "file":
                raise InvalidInput(f"{name}: unknown field; send the audio as `file`")
            values[name] = await value.read()
        elif name.endswith("[]"):
            values.setdefault(name.removesuffix("[]"), []).append(value)
        else:
            values[name] = value
    if not isinstance(values.get("file"), bytes) or not values["file"]:
        raise InvalidInput("file: is missing or empty")
    try:
        return AudioRequest.model_validate(values)
    except ValidationError as error:
        raise validation_error(error) from None


def _response(payload: AudioRequest, answer: dict[str, Any], task: str | None) -> Response:
    """The response in the requested format."""
    text = answer["text"].strip()
    chunks = answer.get("chunks") or []
    if payload.response_format == "text":
        return PlainTextResponse(text + "\n")
    if payload.response_format == "srt":
        return PlainTextResponse(srt(chunks))
    if payload.response_format == "vtt":
        return PlainTextResponse(vtt(chunks))
    if payload.response_format == "json":
        return JSONResponse({"text": text})
    timed = [{"start": chunk["timestamp"][0], "end": chunk["timestamp"][1]} for chunk in chunks]
    words = payload.timestamp_granularities == ["word"]
    both = zip(chunks, timed, strict=True)
    parts = (
        {"words": [{"word": chunk["text"].strip()} | time for chunk, time in both]}
        if words
        else {"segments": [{"id": n, "text": chunk["text"]} | time for n, (chunk, time) in enumerate(both)]}
    )
    ends = [time["end"] for time in timed if time["end"] is not None]
    head = {
        "task": task or "transcribe",
        "language": payload.language,
        "duration": max(ends, default=0.0),
        "text": text,
    }
    return JSONResponse(head | parts)
