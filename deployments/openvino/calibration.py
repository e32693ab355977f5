"""The items that `int8` is calibrated with, and those that it is measured on: of the user, or the task's examples."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from deployments.contract.task import Prepared
from deployments.errors import InvalidInput, LoadError
from deployments.layouts.task import ForwardTask

CALIBRATED_WORDS = (1, 2, 4, 6, 8, 12, 17, 28, 40, 55, 80, 140)
MEASURED_WORDS = (3, 9, 14, 24, 33, 70, 110, 200)  # others than those, and the lengths of the rows that a replica runs
ROWS_OF_EACH = 2  # of a long text, which may have many windows
MAX_ITEMS = 256  # of a file; more calibrate no better, and take minutes
MEASURED_SHARE = 4  # every fourth line of a file is left out of the calibration, and measured on
FEWEST = 8  # lines of a file


class Items(NamedTuple):
    """Preprocessed items.

    Attributes:
        calibrated: whose activations set the ranges of the quantised graph.
        measured: whose answers are compared with torch's.
    """

    calibrated: list[Prepared]
    measured: list[Prepared]


def items_for(task: ForwardTask[Any, Any], file: str | None) -> Items:
    """The items of a task, from a file or from its own examples.

    Raises:
        LoadError: the file cannot be read, or a line is no input of the task.
    """
    examples = [task.preprocess(example) for words in MEASURED_WORDS for example in task.sized_examples(words)]
    measured = [_first_rows(item) for item in (*_items(task, {**task.example}), *examples)]
    if file is None:
        sized = [task.preprocess(example) for words in CALIBRATED_WORDS for example in task.sized_examples(words)]
        return Items([_first_rows(item) for item in sized], measured)
    own = [_first_rows(item) for item in _file_items(task, Path(file))]
    chosen = [item for index, item in enumerate(own) if index % MEASURED_SHARE]
    return Items(chosen, own[::MEASURED_SHARE] + measured)


def read_calibration(file: str) -> bytes:
    """The contents of a calibration file.

    Raises:
        LoadError: it cannot be read.
    """
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise LoadError(f"calibration: {file} cannot be read ({error.strerror})") from None


def _file_items(task: ForwardTask[Any, Any], file: Path) -> list[Prepared]:
    items: list[Prepared] = []
    for number, line in enumerate(read_calibration(str(file)).splitlines(), 1):
        if line.strip() and len(items) < MAX_ITEMS:
            try:
                items += _items(task, {"inputs": json.loads(line)})
            except ValidationError as error:
                problem = error.errors(include_url=False)[0]
                place = ".".join(str(part) for part in problem["loc"])
                raise LoadError(f"calibration: {file}:{number}: {place}: {problem['msg']}") from None
            except (ValueError, InvalidInput) as error:
                raise LoadError(f"calibration: {file}:{number}: {error}") from None
    if len(items) < FEWEST:
        raise LoadError(f"calibration: {file} has {len(items)} inputs; at least {FEWEST} are needed")
    return items[:MAX_ITEMS]


def _items(task: ForwardTask[Any, Any], body: dict[str, Any]) -> Iterator[Prepared]:
    """The preprocessed items of a request.

    Raises:
        ValidationError: it is no request of this task.
        InvalidInput: the task cannot read an input.
    """
    yield from map(task.preprocess, task.split(task.request.model_validate(body)))


def _first_rows(item: Prepared) -> Prepared:
    """Rows that are answers by themselves: all choices of a question, the first windows of a text."""
    return item if item.context is None else replace(item, rows=item.rows[:ROWS_OF_EACH])
