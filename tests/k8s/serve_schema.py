"""Keys of a serveConfigV2 that Ray Serve's schema does not know; it would accept them in silence."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from ray.serve.schema import ServeDeploySchema


def unknown_keys(value: Any, schema: Any = ServeDeploySchema, place: str = "") -> Iterator[str]:
    """Their places. What a field takes as it comes, such as `args`, is not looked into."""
    model = _model(schema)
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from unknown_keys(item, schema, f"{place}.{number}")
    elif isinstance(value, dict) and model is not None:
        fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        fields |= {name: field.annotation for name, field in model.model_fields.items()}
        for key, item in value.items():
            if key not in fields:
                yield f"{place}.{key}".lstrip(".")
            else:
                yield from unknown_keys(item, fields[key], f"{place}.{key}".lstrip("."))


def _model(annotation: Any) -> type[BaseModel] | None:
    """The section inside an annotation such as `list[Section]` or `Section | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _model(argument))), None)
