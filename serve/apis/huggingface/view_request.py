"""The base of the views' requests."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from deployments.errors import InvalidInput


class ViewRequest(BaseModel):
    """Fields that a view does not know go to the task, which says what is wrong with them."""

    model_config = ConfigDict(extra="allow")

    def others(self) -> dict[str, Any]:
        """The fields that the view does not know.

        Raises:
            InvalidInput: a stream is wanted.
        """
        others = dict(self.model_extra or {})
        if others.pop("stream", False):
            raise InvalidInput("stream: this has none; ask for it at the model's own URL")
        return others
