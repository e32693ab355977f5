"""A page for each task: what it is for, an example that the tests run, and its fields as its own types have them."""

from typing import Any

from pydantic import TypeAdapter

from deployments.contract.task import Task
from deployments.registry import ALIASES, KINDS
from tools.handbook.fields import object_of, tables, type_of

Kind = type[Task[Any, Any]]

ERRORS = """## When something is wrong

Every error says what was wrong and where, in `error` and `error_type`, with the status of its kind: see
[Errors](http.md#errors).
"""


def page(name: str, told: str) -> str:
    """Markdown.

    Args:
        name: of the task.
        told: what docs/tasks.md says about it, examples included.
    """
    kinds = [kind for kind in KINDS if kind.name == name]
    first = kinds[0]
    aliases = ", ".join(f"`/tasks/{alias}`" for alias, names in sorted(ALIASES.items()) if name in names)
    also = f" Also at {aliases}." if aliases else ""
    answers = "\n\n".join(dict.fromkeys((kind.__doc__ or "").split("\n\n")[0] for kind in kinds))
    return "\n".join(
        [
            f"# {name}\n",
            f"{first.purpose}\n",
            f"Served at `/tasks/{name}` for checkpoints of transformers' `{first.auto_model}`.{also}\n",
            f"## Example\n\n{told}\n",
            "## Request\n",
            *(_request(kind, is_one_of=len(kinds) > 1) for kind in kinds),
            f"## Answer\n\n{answers}\n",
            *(_answer(kind) for kind in kinds[:1]),
            _stream(first),
            ERRORS,
        ]
    )


def _request(kind: Kind, *, is_one_of: bool) -> str:
    schema = kind.request.model_json_schema()
    heading = f"Of {kind.medium}:\n\n" if is_one_of else ""
    return heading + tables(schema, schema.get("$defs", {}))


def _answer(kind: Kind) -> str:
    schema = TypeAdapter(kind.response).json_schema(mode="serialization")
    definitions = schema.get("$defs", {})
    parts = [f"In JSON: {type_of(schema, definitions)}.\n"]
    for name, inner in definitions.items():
        if inner.get("properties") and object_of({"$ref": name}, definitions):
            parts.append(f"`{name}`:\n\n{tables(inner, definitions)}")
    return "\n".join(parts)


def _stream(kind: Kind) -> str:
    if kind.event_type is None:
        return ""
    schema = TypeAdapter(kind.event_type).json_schema(mode="serialization")
    told = tables(schema, schema.get("$defs", {}))
    return f'### Events of a stream\n\nWith `"stream": true`; see [Streams](http.md#streams).\n\n{told}'
