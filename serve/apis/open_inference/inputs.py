"""Input tensors to the inputs of a task's own request, by what the request's type says.

A text is the tensor `text`, token ids are `input_ids`, a picture or a recording is called as its medium is, and the
fields of an object (`question` and `context`, `prompt` and `choices`) are tensors of their own names. The first
dimension is the client batch. `json` takes every input there is, one as JSON in each element.
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
from serve.apis.open_inference.annotations import DATATYPES, element_of, members, models, single
from serve.apis.open_inference.samples import as_file
from serve.apis.open_inference.tensor import Array, Tensor, as_bytes

JSON = "json"
_LEAVES = {(str, 0): "text", (int, 1): "input_ids"}  # names of what has none in the request; media have their medium's


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor that a task reads.

    Attributes:
        name: of the tensor.
        kind: type of its single values.
        depth: how many dimensions an input of its own has.
    """

    name: str
    kind: type
    depth: int

    @property
    def datatype(self) -> str:
        return DATATYPES[self.kind]

    @property
    def shape(self) -> tuple[int, ...]:
        """With the client batch in front; every dimension is variable."""
        return (-1,) * (1 + self.depth)


class InputTensors:
    """The tensors that one task reads.

    Args:
        task: its class.
    """

    def __init__(self, task: type[Task[Any, Any]]) -> None:
        annotation = task.request.model_fields["inputs"].annotation
        kinds = list(members(annotation))
        # What a list of is a client batch, whatever else the task takes.
        batched = [item for kind in kinds for item in members(element_of(kind)) if item in kinds] or kinds
        self._leaves = {leaf.name: leaf for kind in batched if (leaf := _leaf(kind, task.medium)) is not None}
        self.required: list[str] = list(self._leaves)[:1]  # what the plainest request has
        self.sources: dict[str, Source] = dict(self._leaves)
        for kind in batched:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                self._add_fields(kind)

    def _add_fields(self, kind: type[BaseModel]) -> None:
        for name, field in kind.model_fields.items():
            if (found := single(field.annotation)) is None:
                continue
            self.sources.setdefault(name, Source(name, *found))
            if field.is_required() and not self._leaves:
                self.required.append(name)

    def values(self, tensors: Mapping[str, Tensor], rates: Mapping[str, Any]) -> list[Any]:
        """The inputs of the task's own request, always as a list.

        Args:
            tensors: of the request, by name; all of them are inputs.
            rates: sampling rates of those recordings that come as samples, by tensor.

        Raises:
            InvalidInput: none, or tensors that do not go together.
        """
        if JSON in tensors:
            if len(tensors) > 1:
                raise InvalidInput(f"input {JSON!r}: takes the place of all others; leave {_others(tensors)} out")
            return _of_json(tensors[JSON])
        if not tensors:
            raise InvalidInput(f"inputs: there is no {' and no '.join(self.required)}")
        columns = {name: self._column(tensor, rates.get(name)) for name, tensor in tensors.items()}
        sizes = {name: len(column) for name, column in columns.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name!r} has {size}" for name, size in sizes.items())
            raise InvalidInput(f"inputs: the first dimension is the batch, and not the same for all: {told}")
        if len(columns) == 1 and (only := next(iter(columns))) in self._leaves:
            return columns[only]
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _column(self, tensor: Tensor, rate: Any) -> list[Any]:
        """A tensor's value for each input of the batch."""
        source = self.sources[tensor.name]
        if source.kind is Media and tensor.datatype != "BYTES":
            return [as_file(tensor, row, rate) for row in _batched(tensor, 1)]
        values = _batched(tensor, source.depth)
        if (tensor.datatype == "BYTES") != (source.datatype == "BYTES"):
            raise InvalidInput(f"input {tensor.name!r}: should be {source.datatype}, not {tensor.datatype}")
        read = _file if source.kind is Media else _text
        column: list[Any] = values.tolist()
        return _each(column, lambda element: read(tensor.name, element)) if tensor.datatype == "BYTES" else column


def _leaf(kind: Any, medium: str) -> Source | None:
    found = single(kind)
    if found is None or next(models(kind), None) is not None:
        return None
    name = medium if found == (Media, 0) else _LEAVES.get(found)
    return Source(name, *found) if name else None


def _batched(tensor: Tensor, depth: int) -> Array:
    """The values with `depth` dimensions behind the batch; a last one of size 1 may be there in addition, and the batch
    may be missing where it would be 1."""
    values = tensor.values
    if values.ndim == depth + 2 and values.shape[-1] == 1:
        values = values[..., 0]
    elif values.ndim == depth:
        values = values[None]
    if values.ndim != depth + 1:
        wanted = "[batch]" if depth == 0 else f"[batch{', n' * depth}]"
        raise InvalidInput(f"input {tensor.name!r}: its shape {list(tensor.shape)} should be {wanted}")
    return values


def _each(values: list[Any], read: Callable[[Any], str]) -> list[Any]:
    return [_each(value, read) if isinstance(value, list) else read(value) for value in values]


def _text(name: str, element: str | bytes) -> str:
    if isinstance(element, str):
        return element
    try:
        return element.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"input {name!r}: an element is not UTF-8, at byte {error.start}") from None


def _file(name: str, element: str | bytes) -> str:
    """A file as the tasks read it in JSON. Bytes that are printable text are base64 or a URL: no file looks so."""
    if isinstance(element, str):
        return element
    if element.isascii() and (text := element.decode("ascii")).replace("\n", "").replace("\r", "").isprintable():
        return text
    return base64.b64encode(element).decode("ascii")


def _of_json(tensor: Tensor) -> list[Any]:
    if tensor.datatype != "BYTES":
        raise InvalidInput(f"input {JSON!r}: should be BYTES, not {tensor.datatype}")
    items = []
    for place, element in enumerate(_batched(tensor, 0)):
        try:
            items.append(orjson.loads(as_bytes(element)))
        except orjson.JSONDecodeError as error:
            raise MalformedRequest(f"input {JSON!r}: element {place} is not JSON: {error}") from None
    return items


def _others(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(repr(name) for name in tensors if name != JSON)
