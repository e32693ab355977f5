"""A task's answer to output tensors, by what the answer's type says.

Every single value in the objects of an answer is a tensor of its own name (`label`, `score`, `start`); a vector is
`embedding`. The first dimension is the client batch, then come the lists of the answer. Where these differ in length
from input to input, shorter ones are filled up, and `count` says how long each is. `json` is the whole answer, an
element for each input.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel

from deployments.contract.task import Task
from deployments.errors import InvalidInput
from serve.apis.open_inference.annotations import DATATYPES, models, single
from serve.apis.open_inference.inputs import JSON
from serve.apis.open_inference.messages import RequestedOutput
from serve.apis.open_inference.tensor import NUMBERS, Tensor, of_objects

VECTOR = "embedding"
COUNT = "count"

Kind = type[Task[Any, Any]]
Fields = Mapping[str, str]  # names of an object's single values to their datatypes

_FILL = {"BYTES": "", "BOOL": False, "INT64": 0, "FP32": 0.0}


def output_tensors(kind: Kind, answers: list[Any], wanted: Sequence[RequestedOutput] | None) -> list[Tensor]:
    """The tensors of an answer.

    Args:
        kind: the task.
        answers: its answer to a list of inputs.
        wanted: those asked for; None for all that there are, `json` only where it says more than the others.

    Raises:
        InvalidInput: one is asked for that is not there.
    """
    tensors, says_all = _tensors(kind, answers)
    if wanted is None:
        if not says_all:
            tensors[JSON] = _as_json(answers)
        elif COUNT in tensors and len(set(tensors[COUNT].values.tolist())) == 1:
            del tensors[COUNT]
        return list(tensors.values())
    if any(output.name == JSON for output in wanted):
        tensors[JSON] = _as_json(answers)
    for output in wanted:
        if output.name not in tensors:
            known = ", ".join(dict.fromkeys([*tensors, JSON]))
            raise InvalidInput(f"output {output.name!r}: is not among what this answer has: {known}")
    return [tensors[output.name] for output in wanted]


def _tensors(kind: Kind, answers: list[Any]) -> tuple[dict[str, Tensor], bool]:
    """Every tensor but `json`, and whether they say all that the answer does."""
    if isinstance(_first(answers), (float, int, str)):
        return _vectors(answers), True
    answers = _equally_deep(answers)
    shape = _shape(answers)
    objects = list(_padded(answers, shape))
    given = [entry for entry in objects if entry is not None]
    fields = _fields(kind, given)
    if fields is None:
        return {}, False
    found = {name: _values(name, datatype, objects, shape) for name, datatype in fields.items()}
    tensors = {name: tensor for name, tensor in found.items() if tensor is not None}
    says_all = all(value is None or name in tensors for entry in given for name, value in entry.items())
    return tensors | _counts(answers, shape), says_all


def _vectors(answers: list[Any]) -> dict[str, Tensor]:
    """Vectors, several of them for each input, or vectors in base64."""
    if isinstance(_first(answers), str):
        shape = _shape(answers)
        return {VECTOR: Tensor(VECTOR, "BYTES", of_objects(list(_padded(answers, shape)), shape))}
    try:
        values = np.array(answers, NUMBERS["FP32"])
    except ValueError:  # unequally many vectors to the inputs
        shape = _shape(answers)
        padded = [0.0 if value is None else value for value in _padded(answers, shape)]
        values = np.array(padded, NUMBERS["FP32"]).reshape(shape)
    counts = _counts(answers, values.shape) if values.ndim > 2 else {}
    return {VECTOR: Tensor(VECTOR, "FP32", values)} | counts


def _values(name: str, datatype: str, objects: list[Any], shape: tuple[int, ...]) -> Tensor | None:
    """The tensor of one field; None where it holds no single value, or never one."""
    values = [None if entry is None else entry.get(name) for entry in objects]
    if any(isinstance(value, (list, dict)) for value in values) or (
        objects and all(value is None for value in values) and any(entry is not None for entry in objects)
    ):
        return None
    filled = [_FILL[datatype] if value is None else value for value in values]
    if datatype == "BYTES":
        return Tensor(name, datatype, of_objects(filled, shape))
    return Tensor(name, datatype, np.array(filled, NUMBERS[datatype]).reshape(shape))


def _counts(answers: list[Any], shape: tuple[int, ...]) -> dict[str, Tensor]:
    """How many entries each input's list has."""
    if len(shape) < 2:
        return {}
    return {COUNT: Tensor(COUNT, "INT64", np.array([len(answer) for answer in answers], NUMBERS["INT64"]))}


def _as_json(answers: list[Any]) -> Tensor:
    return Tensor(JSON, "BYTES", of_objects([orjson.dumps(answer).decode() for answer in answers], (len(answers),)))


@cache
def _objects(kind: Kind) -> Sequence[tuple[type[BaseModel], Fields]]:
    """The objects of a task's answers, with their single values."""
    found = []
    for model in dict.fromkeys(models(kind.response)):
        values = {name: single(field.annotation) for name, field in model.model_fields.items()}
        found.append((model, {name: DATATYPES[value[0]] for name, value in values.items() if value and not value[1]}))
    return found


def _fields(kind: Kind, objects: list[dict[str, Any]]) -> Fields | None:
    """The single values of objects of one kind; None where they are of several, or of none that the task declares."""
    for model, fields in _objects(kind):
        required = {name for name, field in model.model_fields.items() if field.is_required()}
        if all(isinstance(o, dict) and required <= o.keys() <= model.model_fields.keys() for o in objects):
            return fields
    return None


def _first(answers: Any) -> Any:
    """The first value that is no list; None where there is none."""
    if not isinstance(answers, list):
        return answers
    return next((found for answer in answers if (found := _first(answer)) is not None), None)


def _depth(answer: Any) -> int:
    return 1 + max((_depth(entry) for entry in answer[:1]), default=0) if isinstance(answer, list) else 0


def _equally_deep(answers: list[Any]) -> list[Any]:
    """An input that got a plain answer where others got a list of such has a list of one."""
    deepest = max(map(_depth, answers), default=0)
    return [_wrapped(answer, deepest - _depth(answer)) if answer != [] else answer for answer in answers]


def _wrapped(answer: Any, times: int) -> Any:
    return answer if times <= 0 else _wrapped([answer], times - 1)


def _shape(answers: Any) -> tuple[int, ...]:
    """The longest list of each level."""
    sizes: list[int] = []
    level = [answers]
    while level and any(isinstance(entry, list) for entry in level):
        lists = [entry for entry in level if isinstance(entry, list)]
        sizes.append(max(map(len, lists)))
        level = [inner for entry in lists for inner in entry]
    return tuple(sizes)


def _padded(answers: Any, shape: tuple[int, ...]) -> Iterator[Any]:
    """The values row by row, None where there is none."""
    if not shape:
        yield answers
        return
    for place in range(shape[0]):
        there = isinstance(answers, list) and place < len(answers)
        yield from _padded(answers[place] if there else None, shape[1:])
