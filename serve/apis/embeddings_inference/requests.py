"""What the requests of all routes share."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VECTORS = ("feature-extraction",)
CLASSES = ("text-classification",)
Texts = Annotated[list[str], Field(min_length=1)]


class TEIRequest(BaseModel):
    """The base of every request."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str | None = None


class Truncation(TEIRequest):
    """What is done with a text that is longer than the model reads; refused by default, as TEI has it."""

    truncate: bool = False
    truncation_direction: Literal["Left", "Right", "left", "right"] = "Right"


def as_list(inputs: Any) -> list[Any]:
    """One text, or the token ids of one, as a list of one."""
    return inputs if isinstance(inputs, list) and not isinstance(inputs[0], int) else [inputs]
