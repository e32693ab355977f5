"""Request bodies by content type: JSON for every task; for images and audio also the file itself, or a form."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData

from deployments.checkpoints.files import Medium
from deployments.contract.similarity import Sentences
from deployments.errors import InvalidInput, TooLarge, UnsupportedMedia
from deployments.media.content import Media
from deployments.text.tokens import are_ids
from serve.config.service import Limits
from serve.http.errors import validation_error
from serve.http.form import FILE_FIELDS, FORM, open_form
from serve.http.messages import Receive, Scope, header, media_type, read_body

LARGE_BODY = 64 * 1024  # parsing more than this would block the event loop noticeably

JSON = "application/json"
# What clients send that do not set a type: curl's --data-binary calls everything a form.
UNTYPED = ("", "application/octet-stream", "application/x-www-form-urlencoded")
# Audio containers that are registered under other names.
AUDIO_TYPES = ("application/ogg", "video/mp4", "video/webm", "video/ogg", "video/quicktime")


class BodyReader:
    """Reads requests of one type.

    Args:
        request: the type.
        medium: of the inputs.
        limits: of the service.
    """

    def __init__(self, request: type[BaseModel], medium: Medium, limits: Limits) -> None:
        self._request = request
        self._medium = medium
        self._body_limit = limits.body
        self._item_limit = limits.max_batch_items

    async def read(self, scope: Scope, receive: Receive) -> Any:
        """The request, validated.

        Raises:
            UnsupportedMedia: a content type that the task does not read; raised before the body is read.
            MalformedRequest: the body does not match its content type.
            InvalidInput: the body is not a request of this task.
            TooLarge: the body or the number of inputs is over the limit.
        """
        content_type = header(scope, b"content-type") or ""
        kind = media_type(content_type)
        parse = self._parser(kind)
        body = await read_body(scope, receive, self._body_limit)
        if kind == FORM:
            request = self._validate(await self._form(body, content_type))
        elif len(body) > LARGE_BODY:
            request = await asyncio.to_thread(parse, body)
        else:
            request = parse(body)
        items = _items(getattr(request, "inputs", None))
        if items > self._item_limit:
            raise TooLarge(f"inputs has {items:,} items; the limit is {self._item_limit:,} per request")
        return request

    def _parser(self, content_type: str) -> Callable[[bytes], Any]:
        if content_type == JSON or content_type.endswith("+json"):
            return self._json
        medium = self._medium
        if medium == "text":
            if content_type == "":
                return self._json
            raise UnsupportedMedia(f"this task reads {JSON}, not {content_type}; set the header Content-Type")
        if content_type in UNTYPED:
            return self._untyped
        named = content_type.startswith(f"{medium}/") or (medium == "audio" and content_type in AUDIO_TYPES)
        if named or content_type == FORM:
            return self._file
        raise UnsupportedMedia(
            f"this task reads {medium}/* (the file itself), {FORM} and {JSON}, not {content_type}; set the header "
            "Content-Type"
        )

    def _json(self, body: bytes) -> Any:
        try:
            return self._request.model_validate_json(body)
        except ValidationError as error:
            request = parse_partial(self._request, body)
            if request is None:
                raise validation_error(error) from None
            return request

    def _file(self, body: bytes) -> Any:
        return self._validate({"inputs": Media(body)})

    def _untyped(self, body: bytes) -> Any:
        """No image or audio file begins as a JSON object does."""
        return self._json(body) if body.lstrip()[:1] == b"{" else self._file(body)

    def _validate(self, values: dict[str, Any]) -> Any:
        try:
            return self._request.model_validate(values)
        except ValidationError as error:
            raise validation_error(error) from None

    async def _form(self, body: bytes, content_type: str) -> dict[str, Any]:
        """The values of a form: files are inputs, other fields are parameters."""
        async with open_form(body, content_type, max_files=self._item_limit + 1) as form:
            return await self._values(form)

    async def _values(self, form: FormData) -> dict[str, Any]:
        files: list[Media] = []
        values: dict[str, Any] = {}
        for name, value in form.multi_items():
            if isinstance(value, str):
                self._add_field(values, name, value)
            elif name in FILE_FIELDS:
                files.append(Media(await value.read()))
            else:
                raise InvalidInput(f"{name}: unknown field; send the file as `file`")
        if not files:
            raise InvalidInput("file: is missing; send it as a file, such as `curl -F file=@name`")
        return values | {"inputs": files[0] if len(files) == 1 else files}

    def _add_field(self, values: dict[str, Any], name: str, text: str) -> None:
        """Add a form field. Its text is parsed as JSON if possible, and is a string otherwise."""
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = text
        if name == "parameters":
            if not isinstance(value, dict):
                raise InvalidInput("parameters: should be an object, as JSON")
            values.setdefault("parameters", {}).update(value)
        elif name in self._request.model_fields or "parameters" not in self._request.model_fields:
            values[name] = value
        else:
            values.setdefault("parameters", {})[name] = value


def parse_partial(kind: type[BaseModel], body: bytes) -> Any | None:
    """A `partial` request with an error in place of each invalid input; None if it cannot be parsed even so.

    Args:
        kind: type of the request.
        body: that is invalid as a whole.
    """
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(raw, dict) or raw.get("partial") is not True or not isinstance(raw.get("inputs"), list):
        return None
    read: list[Any] = []
    good: Any = None
    for item in raw["inputs"]:
        try:
            # Each input alone and as JSON, so that the same strictness applies.
            alone: Any = kind.model_validate_json(orjson.dumps(raw | {"inputs": item}))
        except ValidationError as error:
            read.append(validation_error(error))
        else:
            good = alone
            read.append(alone.inputs)
    return None if good is None else good.model_copy(update={"inputs": read})


def _items(inputs: Any) -> int:
    """The number of items of a request."""
    if isinstance(inputs, Sentences):
        return len(inputs.texts)
    return len(inputs) if isinstance(inputs, list) and not are_ids(inputs) else 1
