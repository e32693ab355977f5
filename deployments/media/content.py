"""Media: an encoded image or recording, and its parsing from a string in a request."""

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, PydanticSerializationUnexpectedValue, core_schema

from deployments.errors import InvalidInput

_DATA_URL = re.compile(r"data:([^,;\s]*)((?:;[^,;]*)*),", re.IGNORECASE)
_WHITESPACE = b" \t\r\n\f\v"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_INVALID = re.compile(r"[^A-Za-z0-9+/_=\s-]|=(?=[\s=]*[^=\s])", re.ASCII)  # or padding before the end
_DESCRIPTION = "The file as base64 or as a data URL (`data:...;base64,...`), or its http or https URL."


@dataclass(frozen=True, slots=True)
class Media:
    """An image or recording. As a pydantic field it is parsed from a string: base64, data URL or URL.

    Attributes:
        data: the file; empty if there is only a URL.
        url: URL of a file that was not fetched yet.
        declared: media type sent with the file, lower case, without parameters; the format is read from `data`.
    """

    data: bytes = field(repr=False)
    url: str | None = None
    declared: str | None = None

    def content(self, field: str = "inputs") -> bytes:
        """The file's bytes.

        Raises:
            InvalidInput: there are none, or only a URL. `field` names the input in the message.
        """
        if self.data:
            return self.data
        if self.url is not None:
            raise InvalidInput(f"{field} is a URL, which is not fetched here; send the file as base64")
        raise InvalidInput(f"{field} is empty")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(_write, return_schema=core_schema.str_schema())
        return core_schema.no_info_plain_validator_function(_read, serialization=written)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "contentEncoding": "base64", "description": _DESCRIPTION}


def _read(value: object) -> Media:
    """Validator of a field's value; pydantic adds the location to its errors."""
    if isinstance(value, Media):
        return value
    if isinstance(value, bytes):
        return Media(value)
    if not isinstance(value, str):
        raise PydanticCustomError("media_type", "should be a string: base64, a data URL or a URL")
    if value[:8].lower().startswith(("http://", "https://")):
        return Media(b"", url=value)
    if value[:5].lower() == "data:":
        return _read_data_url(value)
    return Media(_decode(value, 0, "is neither base64 nor a data URL"))


def _read_data_url(url: str) -> Media:
    head = _DATA_URL.match(url)
    if head is None:
        raise PydanticCustomError("media_data_url", "is a data URL without a comma after its media type")
    if head[2].lower().rpartition(";")[2].strip() != "base64":
        raise PydanticCustomError("media_data_url", "is a data URL without base64 encoding; use `data:...;base64,...`")
    return Media(_decode(url, head.end(), "is a data URL with invalid base64"), declared=head[1].lower() or None)


def _decode(text: str, start: int, wrong: str) -> bytes:
    """Decode `text[start:]`. `wrong` begins the message about a character that is not in base64."""
    encoded = text[start:] if start else text
    try:
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        data = _decode_loosely(text, start, wrong)
    if not data:
        raise PydanticCustomError("media_empty", "is empty")
    return data


def _decode_loosely(text: str, start: int, wrong: str) -> bytes:
    """Decode the URL-safe alphabet, whitespace and missing padding; else raise an error that names the problem."""
    if (invalid := _INVALID.search(text, start)) is not None:
        place = {"wrong": wrong, "character": repr(invalid[0]), "at": invalid.start()}
        raise PydanticCustomError("media_base64", "{wrong}: character {character} at {at}", place)
    # Only ASCII is left: the pattern above matches all other characters, including non-ASCII whitespace.
    bare = text[start:].encode("ascii").translate(_TO_STANDARD, _WHITESPACE).rstrip(b"=")
    if len(bare) % 4 == 1:
        raise PydanticCustomError("media_base64", "is truncated base64: its length leaves one extra character")
    return base64.b64decode(bare + b"=" * (-len(bare) % 4))


def _write(media: object) -> str:
    if not isinstance(media, Media):  # another member of the union, such as the list, serializes it
        raise PydanticSerializationUnexpectedValue(f"expected Media, got {type(media).__name__}")
    return media.url if media.url is not None else base64.b64encode(media.data).decode("ascii")
