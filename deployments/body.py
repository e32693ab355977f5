"""Body: the base of every request body and its parts; RequestBody: of the whole."""

from pydantic import BaseModel, ConfigDict, Field


class Body(BaseModel):
    """Unknown fields are errors, and nothing is silently converted."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class RequestBody(Body):
    """A whole request."""

    partial: bool = Field(
        default=False, description="Of a list of inputs, answer those that can be, and say of each other what is wrong."
    )

    @property
    def is_batch(self) -> bool:
        """Whether it has a list of inputs, a client batch."""
        return isinstance(getattr(self, "inputs", None), list)
