"""Media: one picture or recording as it came, and how a request's string becomes one."""

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, PydanticSerializationUnexpectedValue, core_schema

from deployments.errors import InvalidInput

_DATA_URL = re.compile(r"data:([^,;\s]*)((?:;[^,;]*)*),", re.IGNORECASE)
_WHITE_SPACE = b" \t\r\n\f\v"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/_=\s-]|=(?=[\s=]*[^=\s])", re.ASCII)  # also padding with more behind it
_DESCRIPTION = "The file as base64 or as a data URL (`data:...;base64,...`); or an http or https URL of it."


@dataclass(frozen=True, slots=True)
class Media:
    """One picture or recording. As the type of a request's field it reads a string: base64, data URL or URL.

    Attributes:
        data: the file; empty where there is only a URL.
        url: where the file lies; nothing was fetched yet.
        declared: media type that came with it, lower case, without parameters. What the file is, its bytes say.
    """

    data: bytes = field(repr=False)
    url: str | None = None
    declared: str | None = None

    def content(self, what: str = "inputs") -> bytes:
        """The file's bytes.

        Raises:
            InvalidInput: there are none, or only a URL. `what` names the input in the message.
        """
        if self.data:
            return self.data
        if self.url is not None:
            raise InvalidInput(f"{what} is a URL that was not fetched; send the file itself, as base64")
        raise InvalidInput(f"{what} is empty")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(_write, return_schema=core_schema.str_schema())
        return core_schema.no_info_plain_validator_function(_read, serialization=written)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "contentEncoding": "base64", "description": _DESCRIPTION}


def _read(value: object) -> Media:
    """What pydantic calls with a field's value; its exceptions become located errors."""
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
        raise PydanticCustomError("media_data_url", "is a data URL without a comma behind its media type")
    if head[2].lower().rpartition(";")[2].strip() != "base64":
        raise PydanticCustomError("media_data_url", "is a data URL that is not base64; write `data:...;base64,...`")
    return Media(_decode(url, head.end(), "is a data URL, but not base64"), declared=head[1].lower() or None)


def _decode(text: str, start: int, wrong: str) -> bytes:
    """Base64 of `text[start:]`. `wrong` begins the message about a character that base64 does not have."""
    encoded = text[start:] if start else text
    try:
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        data = _decode_loosely(text, start, wrong)
    if not data:
        raise PydanticCustomError("media_empty", "is empty")
    return data


def _decode_loosely(text: str, start: int, wrong: str) -> bytes:
    """The same for the other alphabet, with white space, or without padding; or the message of what is wrong."""
    if (foreign := _FOREIGN.search(text, start)) is not None:
        place = {"wrong": wrong, "character": repr(foreign[0]), "at": foreign.start()}
        raise PydanticCustomError("media_base64", "{wrong}: character {character} at {at}", place)
    # What is no ASCII was found above, but for white space beyond ASCII, which the pattern refuses as well.
    bare = text[start:].encode("ascii").translate(_TO_STANDARD, _WHITE_SPACE).rstrip(b"=")
    if len(bare) % 4 == 1:
        raise PydanticCustomError("media_base64", "is base64 that is cut short: one character is left over at its end")
    return base64.b64decode(bare + b"=" * (-len(bare) % 4))


def _write(media: object) -> str:
    if not isinstance(media, Media):  # another branch of a union, such as the list, is the one to write it
        raise PydanticSerializationUnexpectedValue(f"expected Media, got {type(media).__name__}")
    return media.url if media.url is not None else base64.b64encode(media.data).decode("ascii")
