"""What a task's types say: which parts of requests and answers can be tensors."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from deployments.media.content import Media

# Types of single values, and the datatypes of tensors that hold them.
DATATYPES: Mapping[type, str] = {str: "BYTES", Media: "BYTES", bool: "BOOL", int: "INT64", float: "FP32"}


def members(annotation: Any) -> Iterator[Any]:
    """The types of a union, without what is said about them; of anything else itself."""
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
    """The type of a list's elements; None for anything else."""
    return get_args(annotation)[0] if get_origin(annotation) is list and get_args(annotation) else None


def single(annotation: Any) -> tuple[type, int] | None:
    """The type of single values, and how deep in lists they lie; None where there are none."""
    for member in members(annotation):
        if member in DATATYPES:
            return member, 0
        if (element := element_of(member)) is not None and (found := single(element)) is not None:
            return found[0], found[1] + 1
    return None


def takes_list(annotation: Any) -> bool:
    """Whether a value may be a list."""
    return any(element_of(member) is not None for member in members(annotation))


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The objects that an annotation holds, also in lists; not those in objects."""
    for member in members(annotation):
        if (element := element_of(member)) is not None:
            yield from models(element)
        elif isinstance(member, type) and issubclass(member, BaseModel):
            yield member
