"""`/v1/audio/transcriptions` and `/v1/audio/translations`: speech recognition."""

import base64
import json
from collections.abc import AsyncGenerator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
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

# By task: the parameters with which an answer has times.
TIMED: dict[str, dict[str, Any]] = {
    "speech-recognition-seq2seq": {"segments": True},
    "speech-recognition-ctc": {"return_timestamps": "word"},
}
LISTS = ("timestamp_granularities",)  # fields that may be given several times, with brackets behind the name or without


class ServerVAD(BaseModel):
    """The object that `chunking_strategy` may be. Its thresholds are not supported."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["server_vad"]


class AudioRequest(BaseModel):
    """The fields of the form."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    file: bytes
    model: str
    language: str | None = None
    prompt: str | None = None
    response_format: Literal["json", "text", "srt", "vtt", "verbose_json"] = "json"
    temperature: float | list[float] | None = None
    timestamp_granularities: list[Literal["word", "segment"]] = []
    chunking_strategy: Literal["auto"] | ServerVAD | None = None
    stream: bool = False

    @field_validator("chunking_strategy", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        """A form has no objects: they are sent as JSON."""
        if not isinstance(value, str) or not value.startswith("{"):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from None

    def as_task(self, route: Route, task: str | None) -> dict[str, Any]:
        """The task's own request."""
        parameters: dict[str, Any] = {}
        if self.response_format in ("srt", "vtt", "verbose_json"):
            parameters |= TIMED[route.task]
        if self.has_words:
            parameters["return_timestamps"] = "word"
        for name in ("language", "prompt", "temperature"):
            if getattr(self, name):  # temperature 0, OpenAI's default, means greedy decoding
                parameters[name] = getattr(self, name)
        if self.chunking_strategy is not None and "segments" in TIMED[route.task]:
            parameters["long_form"] = "speech"
        if task is not None:
            parameters["task"] = task
        return {"inputs": base64.b64encode(self.file).decode(), "parameters": parameters}

    @property
    def has_words(self) -> bool:
        """Whether the answer contains words with their times."""
        return self.response_format == "verbose_json" and "word" in self.timestamp_granularities

    @property
    def has_segments(self) -> bool:
        """Whether a `verbose_json` answer contains segments: by default, and next to words if both are requested."""
        return "segment" in self.timestamp_granularities or not self.has_words


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
        route = self._client.route(payload.model, TIMED, "speech recognition")
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
        elif name.endswith("[]") or name in LISTS:
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
    if payload.response_format == "text":
        return PlainTextResponse(text + "\n")
    if payload.response_format == "json":
        return JSONResponse({"text": text})
    segments = _segments(answer)
    if payload.response_format == "srt":
        return PlainTextResponse(srt(segments))
    if payload.response_format == "vtt":
        return PlainTextResponse(vtt(segments))
    ends = [segment["end"] for segment in segments]
    head = {
        "task": task or "transcribe",
        "language": answer.get("language") or payload.language,
        "duration": answer.get("duration", max(ends, default=0.0)),
        "text": text,
    }
    words = {"words": _words(answer)} if payload.has_words else {}
    return JSONResponse(head | words | ({"segments": segments} if payload.has_segments else {}))


def _segments(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The segments of an answer; of a task that has none, its words."""
    if answer.get("segments") is not None:
        segments: list[dict[str, Any]] = answer["segments"]
        return segments
    return [
        {"id": number, "text": chunk["text"], "start": chunk["timestamp"][0], "end": chunk["timestamp"][1]}
        for number, chunk in enumerate(answer.get("chunks") or ())
    ]


def _words(answer: dict[str, Any]) -> list[dict[str, Any]]:
    chunks = answer.get("chunks") or ()
    return [
        {"word": chunk["text"].strip(), "start": chunk["timestamp"][0], "end": chunk["timestamp"][1]}
        for chunk in chunks
    ]
