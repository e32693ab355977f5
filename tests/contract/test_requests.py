"""What every task promises about its bodies: examples hold, nothing unknown passes, nothing is silently converted."""

import copy
import json

import orjson
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from deployments.errors import InvalidInput
from deployments.registry import TASKS
from tests.contract.requests import TEXT_TASKS, requests_of, with_texts


def has_parameters(kind):
    return "parameters" in kind.request.model_fields


def cuts(kind):
    return has_parameters(kind) and "truncate" in kind.request.model_fields["parameters"].annotation.model_fields


every_task = pytest.mark.parametrize("kind", TASKS.values(), ids=list(TASKS))
every_text_task = pytest.mark.parametrize("kind", TEXT_TASKS, ids=lambda kind: kind.name)


@every_task
def test_the_example_is_a_request_and_comes_through_json_unchanged(kind):
    request = kind.request.model_validate(orjson.loads(orjson.dumps(kind.example)))
    assert request.model_dump(exclude_unset=True) == kind.example
    assert kind.request.model_validate_json(request.model_dump_json(exclude_unset=True)) == request


@every_task
def test_schemas_can_be_shown(kind):
    body, answer = kind.request.model_json_schema(), TypeAdapter(kind.response).json_schema()
    assert body["additionalProperties"] is False
    assert json.loads(json.dumps([body, answer]))
    assert body["properties"]["inputs"]["description"]


@every_task
def test_an_unknown_field_is_refused_and_named_wherever_it_stands(kind):
    for body in with_unknown_fields(kind.example | ({"parameters": {}} if has_parameters(kind) else {})):
        with pytest.raises(ValidationError) as caught:
            kind.request.model_validate(body)
        assert any("unknown_field" in error["loc"] for error in caught.value.errors())


@every_task
def test_wrong_types_are_refused(kind):
    for body in ({}, {"inputs": None}, {"inputs": 7}, {"inputs": [7.5]}, {"inputs": True}, [], "text"):
        with pytest.raises(ValidationError):
            kind.request.model_validate(body)


@every_task
def test_nothing_is_converted(kind):
    """ "5" is not 5 and 1 is not true: what a caller meant by them is not ours to guess."""
    for name, value in wrong_parameters(kind):
        place = {"parameters": {name: value}} if has_parameters(kind) else {name: value}
        with pytest.raises(ValidationError, match=name):
            kind.request.model_validate({**kind.example, **place})


@every_text_task
def test_an_empty_text_is_an_invalid_input(loaded, kind):
    task = loaded(kind, "bert")
    for text in ("", " ", "\n\t"):
        with pytest.raises(InvalidInput, match="empty"):
            task.preprocess(with_texts(task.sized_example(4), lambda _, text=text: text))


@every_text_task
def test_a_list_is_split_into_its_items_and_joined_in_order(loaded, kind):
    task = loaded(kind, "bert")
    singles = requests_of(task, (3, 5, 2))
    batch = singles[0].model_copy(update={"inputs": [single.inputs for single in singles]})
    assert [item.inputs for item in task.split(batch)] == [single.inputs for single in singles]
    assert task.split(singles[0]) == [singles[0]]
    assert task.join(batch, ["first", "second", "third"]) == ["first", "second", "third"]
    assert task.split(batch.model_copy(update={"inputs": []})) == []


@pytest.mark.parametrize("kind", [kind for kind in TEXT_TASKS if cuts(kind)], ids=lambda kind: kind.name)
def test_parameters_go_to_every_item(loaded, kind):
    task = loaded(kind, "bert")
    inputs = task.sized_example(4).model_dump(exclude_unset=True)["inputs"]
    batch = kind.request.model_validate({"inputs": [inputs, inputs], "parameters": {"truncate": False}})
    assert [item.parameters.truncate for item in task.split(batch)] == [False, False]


def with_unknown_fields(body):
    """Copies of a body, each with one unknown field in one of its objects."""
    for path in objects(body):
        spoilt = copy.deepcopy(body)
        place = spoilt
        for key in path:
            place = place[key]
        place["unknown_field"] = 1
        yield spoilt


def objects(value, path=()):
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            yield from objects(item, (*path, key))


def wrong_parameters(kind):
    """Values of another type for each of a task's parameters: a number as a text, a truth as a number."""
    fields = kind.request.model_fields
    owner: type[BaseModel] = fields["parameters"].annotation if has_parameters(kind) else kind.request
    for name, field in owner.model_fields.items():
        if name != "inputs":
            yield name, 1 if field.annotation is bool else {"not": "this"}
            if "int" in str(field.annotation):
                yield name, "5"
