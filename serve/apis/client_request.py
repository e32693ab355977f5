"""ClientRequest: a request as the clients of another service send it."""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

logger = logging.getLogger(__name__)

HEADER = b"x-ignored-fields"
MAX_NAMED = 20  # fields in the header and in the log
_UNSAFE = re.compile(r"[^\w.\[\]-]")  # in a header

_logged: set[tuple[type, tuple[str, ...]]] = set()
_MAX_LOGGED = 256


class ClientRequest(BaseModel):
    """A request of another service, or a part of one. Its clients send nulls, defaults, and fields that we lack.

    A null is as if the field were not there. A field of `lacking` with a value that asks for nothing is dropped, and
    with any other value refused by name. A field that nobody knows is ignored; `take_ignored` names it.

    Attributes:
        lacking: fields of the other service that this one has not, each with the values that ask for nothing.
        without_effect: its fields that change no answer.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    lacking: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    without_effect: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _without_what_asks_for_nothing(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        kept = {name: value for name, value in given.items() if value is not None and name not in cls.without_effect}
        for name in cls.lacking.keys() & kept.keys():
            value, nothing = kept.pop(name), cls.lacking[name]
            if not any(type(value) is type(each) and value == each for each in nothing):
                raise _not_available(cls.__name__, name, value, nothing)
        return kept


def _not_available(title: str, name: str, value: Any, nothing: tuple[Any, ...]) -> ValidationError:
    hint = f" or send {orjson.dumps(nothing[0]).decode()}" if nothing else ""
    problem = PydanticCustomError("not_available", "is not available here; leave it out{hint}", {"hint": hint})
    return ValidationError.from_exception_data(title, [InitErrorDetails(type=problem, loc=(name,), input=value)])


def take_ignored(request: ClientRequest) -> list[str]:
    """Remove the fields that nobody knows, and name them, with their place: `messages[0].weight`."""
    return list(_take(request, ""))


def _take(part: Any, path: str) -> Iterator[str]:
    if isinstance(part, list):
        for index, each in enumerate(part):
            if isinstance(each, BaseModel):
                yield from _take(each, f"{path}[{index}]")
    elif isinstance(part, BaseModel):
        start = f"{path}." if path else ""
        for name in type(part).model_fields:
            value = getattr(part, name)
            if isinstance(value, BaseModel | list):
                yield from _take(value, start + name)
        if isinstance(part, ClientRequest) and part.model_extra:
            yield from (start + name for name in part.model_extra)
            part.model_extra.clear()


def ignored_headers(kind: type[ClientRequest], ignored: list[str]) -> list[tuple[bytes, bytes]]:
    """The header that names the ignored fields. Each combination of fields is logged once."""
    if not ignored:
        return []
    named = tuple(_UNSAFE.sub("?", name)[:64] for name in ignored[:MAX_NAMED])
    if (kind, named) not in _logged and len(_logged) < _MAX_LOGGED:
        _logged.add((kind, named))
        logger.warning("%s: ignored unknown fields: %s", kind.__name__, ", ".join(named))
    return [(HEADER, ", ".join(named).encode("ascii", "replace"))]
