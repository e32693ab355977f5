"""Type annotations of a task: which parts of its requests and answers can be tensors."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from deployments.media.content import Media

# Types of scalars, and the datatypes of their tensors.
DATATYPES: Mapping[type, str] = {str: "BYTES", Media: "BYTES", bool: "BOOL", int: "INT64", float: "FP32"}


def members(annotation: Any) -> Iterator[Any]:
    """The members of a union, without `Annotated`; any other type itself."""
    if get_origin(annotation) is Annotated:
        yield from members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from members(member)
    elif get_origin(annotation) is Literal:
        yield from dict.fromkeys(type(value) for value in get_args(annotation))
    else:
        yield annotation


def element_of(annotation: Any) -> Any:
    """The element type of a list; None for other types."""
    return get_args(annotation)[0] if get_origin(annotation) is list and get_args(annotation) else None


def scalar(annotation: Any) -> tuple[type, int] | None:
    """The scalar type, and its depth in nested lists; None if there is none."""
    for member in members(annotation):
        if member in DATATYPES:
            return member, 0
        if (element := element_of(member)) is not None and (found := scalar(element)) is not None:
            return found[0], found[1] + 1
    return None


def takes_list(annotation: Any) -> bool:
    """Whether the type includes a list."""
    return any(element_of(member) is not None for member in members(annotation))


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models in an annotation, also in lists, but not those within models."""
    for member in members(annotation):
        if (element := element_of(member)) is not None:
            yield from models(element)
        elif isinstance(member, type) and issubclass(member, BaseModel):
            yield member
