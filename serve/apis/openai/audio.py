"""`/v1/audio/transcriptions` and `/v1/audio/translations`: a recording's text."""

import base64
from collections.abc import AsyncGenerator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from deployments.errors import InvalidInput, UnsupportedMedia
from serve.apis.caller import Caller
from serve.apis.openai.errors import event_error
from serve.apis.openai.events import event_stream
from serve.apis.openai.subtitles import srt, vtt
from serve.http.body import form_of
from serve.http.errors import JSONResponse, validation_error
from serve.routes import Route

# What the chunks of each task are asked to be, where times are wanted.
PIECES = {"speech-recognition-seq2seq": "segment", "speech-recognition-ctc": "word"}


class AudioRequest(BaseModel):
    """The fields of a form."""

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
            parameters["return_timestamps"] = "word" if wants_words else PIECES[route.task]
        if self.language is not None:
            parameters["language"] = self.language
        if self.temperature:  # 0, OpenAI's default, is the likeliest token every time
            parameters["temperature"] = self.temperature
        if task is not None:
            parameters["task"] = task
        return {"inputs": base64.b64encode(self.file).decode(), "parameters": parameters}


class Audio:
    """Answers recordings.

    Args:
        caller: asks the models.
        task: what they are told to do; None for what they do anyway.
    """

    def __init__(self, caller: Caller, task: str | None = None) -> None:
        self._caller = caller
        self._task = task

    async def __call__(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        if not content_type.startswith("multipart/form-data"):
            raise UnsupportedMedia(f"this reads multipart/form-data, not {content_type or 'a body without a type'}")
        body = await self._caller.read_bytes(request)
        async with form_of(body, content_type, max_files=2) as form:
            asked = await _read(form)
        route = self._caller.route(asked.model, PIECES, "speech recognition")
        content = asked.as_task(route, self._task)
        if asked.stream:
            return await event_stream(self._chunks(request, route, content))
        return _written(asked, (await self._caller.ask(request, route, content)).json(), self._task)

    async def _chunks(
        self, request: Request, route: Route, content: dict[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        async for event in self._caller.events(request, route, content):
            if "error" in event:
                yield event_error(event)
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
                raise InvalidInput(f"{name}: unknown field; send the recording as `file`")
            values[name] = await value.read()
        elif name.endswith("[]"):
            values.setdefault(name.removesuffix("[]"), []).append(value)
        else:
            values[name] = value
    if not isinstance(values.get("file"), bytes) or not values["file"]:
        raise InvalidInput("file: is missing, or empty")
    try:
        return AudioRequest.model_validate(values)
    except ValidationError as error:
        raise validation_error(error) from None


def _written(asked: AudioRequest, answer: dict[str, Any], task: str | None) -> Response:
    """The answer in the form that was asked for."""
    text = answer["text"].strip()
    chunks = answer.get("chunks") or []
    if asked.response_format == "text":
        return PlainTextResponse(text + "\n")
    if asked.response_format == "srt":
        return PlainTextResponse(srt(chunks))
    if asked.response_format == "vtt":
        return PlainTextResponse(vtt(chunks))
    if asked.response_format == "json":
        return JSONResponse({"text": text})
    timed = [{"start": chunk["timestamp"][0], "end": chunk["timestamp"][1]} for chunk in chunks]
    words = asked.timestamp_granularities == ["word"]
    both = zip(chunks, timed, strict=True)
    parts = (
        {"words": [{"word": chunk["text"].strip()} | time for chunk, time in both]}
        if words
        else {"segments": [{"id": n, "text": chunk["text"]} | time for n, (chunk, time) in enumerate(both)]}
    )
    ends = [time["end"] for time in timed if time["end"] is not None]
    head = {"task": task or "transcribe", "language": asked.language, "duration": max(ends, default=0.0), "text": text}
    return JSONResponse(head | parts)
