"""The base class of the views' requests."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from deployments.errors import InvalidInput


class ViewRequest(BaseModel):
    """Fields that a view does not know are passed on and validated by the task."""

    model_config = ConfigDict(extra="allow")

    def others(self) -> dict[str, Any]:
        """The fields that the view does not know.

        Raises:
            InvalidInput: a stream is requested.
        """
        others = dict(self.model_extra or {})
        if others.pop("stream", False):
            raise InvalidInput("stream: not available here; use the model's own URL")
        return others
