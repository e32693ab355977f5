"""Body: the base of every request body and its parts."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """Unknown fields are errors, and nothing is silently converted."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
