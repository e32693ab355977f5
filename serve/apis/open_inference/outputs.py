"""A task's answer to output tensors, by the answer's type.

Every scalar field of an answer's objects is a tensor of its own name (`label`, `score`, `start`); a vector is
`embedding`. The first dimension is the batch, followed by the lists of the answer. If these differ in length, shorter
ones are padded, and `count` has their lengths. `json` is the whole answer, one element per input.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel

from deployments.contract.task import Task
from deployments.errors import InvalidInput
from serve.apis.open_inference.annotations import DATATYPES, models, scalar
from serve.apis.open_inference.inputs import JSON
from serve.apis.open_inference.messages import RequestedOutput
from serve.apis.open_inference.tensor import NUMBERS, Tensor, object_array

VECTOR = "embedding"
COUNT = "count"

Kind = type[Task[Any, Any]]
Fields = Mapping[str, str]  # an object's scalar fields and their datatypes

_PADDING = {"BYTES": "", "BOOL": False, "INT64": 0, "FP32": 0.0}


def output_tensors(kind: Kind, answers: list[Any], requested: Sequence[RequestedOutput] | None) -> list[Tensor]:
    """The tensors of an answer.

    Args:
        kind: the task.
        answers: its answer to a list of inputs.
        requested: by the client; None for all, with `json` only if it has more than the others.

    Raises:
        InvalidInput: a requested output does not exist.
    """
    tensors, is_complete = _tensors(kind, answers)
    if requested is None:
        if not is_complete:
            tensors[JSON] = _as_json(answers)
        elif COUNT in tensors and len(set(tensors[COUNT].values.tolist())) == 1:
            del tensors[COUNT]
        return list(tensors.values())
    if any(output.name == JSON for output in requested):
        tensors[JSON] = _as_json(answers)
    for output in requested:
        if output.name not in tensors:
            known = ", ".join(dict.fromkeys([*tensors, JSON]))
            raise InvalidInput(f"output {output.name!r}: does not exist; there are {known}")
    return [tensors[output.name] for output in requested]


def _tensors(kind: Kind, answers: list[Any]) -> tuple[dict[str, Tensor], bool]:
    """Every tensor except `json`, and whether they contain the whole answer."""
    if isinstance(_first(answers), (float, int, str)):
        return _vectors(answers), True
    answers = _equally_deep(answers)
    shape = _shape(answers)
    objects = list(_padded(answers, shape))
    present = [entry for entry in objects if entry is not None]
    fields = _fields(kind, present)
    if fields is None:
        return {}, False
    found = {name: _values(name, datatype, objects, shape) for name, datatype in fields.items()}
    tensors = {name: tensor for name, tensor in found.items() if tensor is not None}
    is_complete = all(value is None or name in tensors for entry in present for name, value in entry.items())
    return tensors | _counts(answers, shape), is_complete


def _vectors(answers: list[Any]) -> dict[str, Tensor]:
    """Vectors, one or several for each input, as numbers or base64."""
    if isinstance(_first(answers), str):
        shape = _shape(answers)
        return {VECTOR: Tensor(VECTOR, "BYTES", object_array(list(_padded(answers, shape)), shape))}
    try:
        values = np.array(answers, NUMBERS["FP32"])
    except ValueError:  # different numbers of vectors
        shape = _shape(answers)
        padded = [0.0 if value is None else value for value in _padded(answers, shape)]
        values = np.array(padded, NUMBERS["FP32"]).reshape(shape)
    counts = _counts(answers, values.shape) if values.ndim > 2 else {}
    return {VECTOR: Tensor(VECTOR, "FP32", values)} | counts


def _values(name: str, datatype: str, objects: list[Any], shape: tuple[int, ...]) -> Tensor | None:
    """The tensor of one field; None if its values are not scalars, or all are missing."""
    values = [None if entry is None else entry.get(name) for entry in objects]
    if any(isinstance(value, (list, dict)) for value in values) or (
        objects and all(value is None for value in values) and any(entry is not None for entry in objects)
    ):
        return None
    filled = [_PADDING[datatype] if value is None else value for value in values]
    if datatype == "BYTES":
        return Tensor(name, datatype, object_array(filled, shape))
    return Tensor(name, datatype, np.array(filled, NUMBERS[datatype]).reshape(shape))


def _counts(answers: list[Any], shape: tuple[int, ...]) -> dict[str, Tensor]:
    """The length of each input's list."""
    if len(shape) < 2:
        return {}
    return {COUNT: Tensor(COUNT, "INT64", np.array([len(answer) for answer in answers], NUMBERS["INT64"]))}


def _as_json(answers: list[Any]) -> Tensor:
    return Tensor(JSON, "BYTES", object_array([orjson.dumps(answer).decode() for answer in answers], (len(answers),)))


@cache
def _objects(kind: Kind) -> Sequence[tuple[type[BaseModel], Fields]]:
    """The models of a task's answers, with their scalar fields."""
    found = []
    for model in dict.fromkeys(models(kind.response)):
        values = {name: scalar(field.annotation) for name, field in model.model_fields.items()}
        found.append((model, {name: DATATYPES[value[0]] for name, value in values.items() if value and not value[1]}))
    return found


def _fields(kind: Kind, objects: list[dict[str, Any]]) -> Fields | None:
    """The scalar fields of objects that all match one of the task's models; None if they do not."""
    for model, fields in _objects(kind):
        required = {name for name, field in model.model_fields.items() if field.is_required()}
        if all(isinstance(o, dict) and required <= o.keys() <= model.model_fields.keys() for o in objects):
            return fields
    return None


def _first(answers: Any) -> Any:
    """The first value that is not a list; None if there is none."""
    if not isinstance(answers, list):
        return answers
    return next((found for answer in answers if (found := _first(answer)) is not None), None)


def _depth(answer: Any) -> int:
    return 1 + max((_depth(entry) for entry in answer[:1]), default=0) if isinstance(answer, list) else 0


def _equally_deep(answers: list[Any]) -> list[Any]:
    """Wrap answers in lists until all are nested to the same depth."""
    depth = max(map(_depth, answers), default=0)
    return [_wrapped(answer, depth - _depth(answer)) if answer != [] else answer for answer in answers]


def _wrapped(answer: Any, times: int) -> Any:
    return answer if times <= 0 else _wrapped([answer], times - 1)


def _shape(answers: Any) -> tuple[int, ...]:
    """The maximum length at each level of nesting."""
    sizes: list[int] = []
    level = [answers]
    while level and any(isinstance(entry, list) for entry in level):
        lists = [entry for entry in level if isinstance(entry, list)]
        sizes.append(max(map(len, lists)))
        level = [inner for entry in lists for inner in entry]
    return tuple(sizes)


def _padded(answers: Any, shape: tuple[int, ...]) -> Iterator[Any]:
    """The values in row-major order; None for padding."""
    if not shape:
        yield answers
        return
    for place in range(shape[0]):
        exists = isinstance(answers, list) and place < len(answers)
        yield from _padded(answers[place] if exists else None, shape[1:])
