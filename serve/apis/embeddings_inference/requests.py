"""What the requests of all TEI routes have in common."""

from typing import Annotated, Any, Literal

from pydantic import Field

from serve.apis.client_request import ClientRequest

VECTORS = ("feature-extraction",)
CLASSES = ("text-classification",)
Texts = Annotated[list[str], Field(min_length=1)]


class TEIRequest(ClientRequest):
    """The base class."""

    without_effect = frozenset({"user", "input_type", "options"})

    model: str | None = None


class Truncation(TEIRequest):
    """Texts longer than the model's maximum are refused by default, as with TEI."""

    truncate: bool = False
    truncation_direction: Literal["Left", "Right", "left", "right"] = "Right"


def as_list(inputs: Any) -> list[Any]:
    """Wrap a single text, or the token ids of one, in a list."""
    return inputs if isinstance(inputs, list) and not isinstance(inputs[0], int) else [inputs]
