"""Schemas as tables."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from tools.handbook.fields import tables, type_of


class Inner(BaseModel):
    """What is in it.

    More that nobody needs.
    """

    size: int = Field(ge=1, le=9, description="How | large.")


class Outer(BaseModel):
    kind: Literal["a", "b"] = "a"
    ratio: float | None = Field(default=None, gt=0)
    inner: Inner | None = None
    many: list[Inner]


def test_an_object_within_has_a_table_of_its_own() -> None:
    schema = Outer.model_json_schema()
    lines = tables(schema, schema["$defs"]).splitlines()
    assert '| `kind` | `"a"`, `"b"` | `"a"` |  |' in lines
    assert "| `ratio` | number > 0 |  |  |" in lines
    assert "| `many` | list of {`size`} | required |  |" in lines
    place = lines.index("### inner")
    assert lines[place + 2] == "What is in it."
    assert "| `size` | integer ≥ 1 ≤ 9 | required | How \\| large. |" in lines[place:]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string"),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}, "string or list of string"),
        ({"const": "json"}, '`"json"`'),
        ({}, "anything"),
        ({"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]}, "list: number, number"),
        ({"$ref": "#/$defs/Name"}, "string"),
    ],
)
def test_types_in_words(schema: dict, expected: str) -> None:
    assert type_of(schema, {"Name": {"type": "string"}}) == expected
