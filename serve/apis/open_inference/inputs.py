"""Input tensors to the inputs of a task's own request, by the request's type.

A text is the tensor `text`, token ids are `input_ids`, images and audio are `image` and `audio`, and the fields of an
object (`question` and `context`, `prompt` and `choices`) are tensors of their own names. The first dimension is the
batch. `json` accepts inputs of any form, one as JSON in each element.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel

from deployments.contract.task import Task
from deployments.errors import InvalidInput, MalformedRequest
from deployments.media.content import Media
from serve.apis.open_inference.annotations import DATATYPES, element_of, members, models, scalar
from serve.apis.open_inference.samples import to_wav
from serve.apis.open_inference.tensor import Array, Tensor, as_bytes

JSON = "json"
_LEAVES = {
    (str, 0): "text",
    (int, 1): "input_ids",
}  # media are named by their medium


@dataclass(frozen=True, slots=True)
class Source:
    """An input tensor of a task.

    Attributes:
        name: of the tensor.
        kind: type of its scalars.
        depth: number of dimensions of one input.
    """

    name: str
    kind: type
    depth: int

    @property
    def datatype(self) -> str:
        return DATATYPES[self.kind]

    @property
    def shape(self) -> tuple[int, ...]:
        """Batch first; every dimension is variable."""
        return (-1,) * (1 + self.depth)


class InputTensors:
    """The input tensors of one task.

    Args:
        task: its class.
    """

    def __init__(self, task: type[Task[Any, Any]]) -> None:
        annotation = task.request.model_fields["inputs"].annotation
        kinds = list(members(annotation))
        # The types of which a list is a batch; other types are not inputs of their own.
        batched = [item for kind in kinds for item in members(element_of(kind)) if item in kinds] or kinds
        self._leaves = {leaf.name: leaf for kind in batched if (leaf := _leaf(kind, task.medium)) is not None}
        self.required: list[str] = list(self._leaves)[:1]  # by the simplest request
        self.sources: dict[str, Source] = dict(self._leaves)
        for kind in batched:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                self._add_fields(kind)

    def _add_fields(self, kind: type[BaseModel]) -> None:
        for name, field in kind.model_fields.items():
            if (found := scalar(field.annotation)) is None:
                continue
            self.sources.setdefault(name, Source(name, *found))
            if field.is_required() and not self._leaves:
                self.required.append(name)

    def values(self, tensors: Mapping[str, Tensor], rates: Mapping[str, Any]) -> list[Any]:
        """The inputs of the task's own request, always as a list.

        Args:
            tensors: of the request, by name; all of them are inputs.
            rates: sampling rates of audio tensors that hold samples.

        Raises:
            InvalidInput: there are no tensors, or they do not match.
        """
        if JSON in tensors:
            if len(tensors) > 1:
                raise InvalidInput(f"input {JSON!r}: cannot be combined with others; remove {_others(tensors)}")
            return _parse_json(tensors[JSON])
        if not tensors:
            raise InvalidInput(f"inputs: {' and '.join(self.required)} missing")
        columns = {name: self._column(tensor, rates.get(name)) for name, tensor in tensors.items()}
        sizes = {name: len(column) for name, column in columns.items()}
        if len(set(sizes.values())) > 1:
            described = ", ".join(f"{name!r} has {size}" for name, size in sizes.items())
            raise InvalidInput(f"inputs: the first dimension is the batch, and differs: {described}")
        if len(columns) == 1 and (only := next(iter(columns))) in self._leaves:
            return columns[only]
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _column(self, tensor: Tensor, rate: Any) -> list[Any]:
        """A tensor's value for each input of the batch."""
        source = self.sources[tensor.name]
        if source.kind is Media and tensor.datatype != "BYTES":
            return [to_wav(tensor, row, rate) for row in _with_batch(tensor, 1)]
        values = _with_batch(tensor, source.depth)
        if (tensor.datatype == "BYTES") != (source.datatype == "BYTES"):
            raise InvalidInput(f"input {tensor.name!r}: should be {source.datatype}, not {tensor.datatype}")
        decode = _file if source.kind is Media else _text
        column: list[Any] = values.tolist()
        return _each(column, lambda element: decode(tensor.name, element)) if tensor.datatype == "BYTES" else column


def _leaf(kind: Any, medium: str) -> Source | None:
    found = scalar(kind)
    if found is None or next(models(kind), None) is not None:
        return None
    name = medium if found == (Media, 0) else _LEAVES.get(found)
    return Source(name, *found) if name else None


def _with_batch(tensor: Tensor, depth: int) -> Array:
    """The values with `depth` dimensions after the batch. A last dimension of size 1 may be added, and the batch
    dimension may be missing."""
    values = tensor.values
    if values.ndim == depth + 2 and values.shape[-1] == 1:
        values = values[..., 0]
    elif values.ndim == depth:
        values = values[None]
    if values.ndim != depth + 1:
        wanted = "[batch]" if depth == 0 else f"[batch{', n' * depth}]"
        raise InvalidInput(f"input {tensor.name!r}: its shape {list(tensor.shape)} should be {wanted}")
    return values


def _each(values: list[Any], decode: Callable[[Any], str]) -> list[Any]:
    return [_each(value, decode) if isinstance(value, list) else decode(value) for value in values]


def _text(name: str, element: str | bytes) -> str:
    if isinstance(element, str):
        return element
    try:
        return element.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"input {name!r}: an element is not UTF-8, at byte {error.start}") from None


def _file(name: str, element: str | bytes) -> str:
    """A file in the form of the tasks' JSON. Printable text is base64 or a URL, as no media file is printable."""
    if isinstance(element, str):
        return element
    if element.isascii() and (text := element.decode("ascii")).replace("\n", "").replace("\r", "").isprintable():
        return text
    return base64.b64encode(element).decode("ascii")


def _parse_json(tensor: Tensor) -> list[Any]:
    if tensor.datatype != "BYTES":
        raise InvalidInput(f"input {JSON!r}: should be BYTES, not {tensor.datatype}")
    items = []
    for place, element in enumerate(_with_batch(tensor, 0)):
        try:
            items.append(orjson.loads(as_bytes(element)))
        except orjson.JSONDecodeError as error:
            raise MalformedRequest(f"input {JSON!r}: element {place} is not JSON: {error}") from None
    return items


def _others(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(repr(name) for name in tensors if name != JSON)
