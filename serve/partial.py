"""Partial reading: of a client batch that may be answered in part, the inputs that are none do not spoil the others."""

from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from serve.errors import validation_error


def partly_read(kind: type[BaseModel], body: bytes) -> Any | None:
    """The request with an error in the place of each input that is none; None where it cannot be read even so.

    Args:
        kind: of the request.
        body: what was not a request as a whole.
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
            # One at a time, as JSON: what is strict about the whole is strict about each.
            alone: Any = kind.model_validate_json(orjson.dumps(raw | {"inputs": item}))
        except ValidationError as error:
            read.append(validation_error(error))
        else:
            good = alone
            read.append(alone.inputs)
    return None if good is None else good.model_copy(update={"inputs": read})
