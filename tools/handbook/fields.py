"""Fields of a JSON schema as tables."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

Schema = Mapping[str, Any]

_BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}


class Field(NamedTuple):
    """One line of a table; texts."""

    name: str
    type: str
    default: str
    description: str


def tables(schema: Schema, definitions: Schema, name: str = "") -> str:
    """The fields of an object, and below them those of each object in it. Markdown."""
    required = schema.get("required", ())
    own, inner = [], []
    for key, told in schema.get("properties", {}).items():
        found = object_of(told, definitions)
        if found is not None:
            inner.append(tables(found, definitions, f"{name}.{key}" if name else key))
            continue
        default = "required" if key in required else _default(told)
        own.append(Field(key, type_of(told, definitions), default, told.get("description", "")))
    about = schema.get("description", "").split("\n\n")[0]
    heading = f"### {name}\n\n{about}\n\n" if name else ""
    return "\n".join([heading + _table(own), *inner])


def _table(fields: list[Field]) -> str:
    lines = ["| field | type | default | |", "|---|---|---|---|"]
    for field in fields:
        cells = [f"`{field.name}`", field.type, field.default, field.description]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def object_of(schema: Schema, definitions: Schema) -> Schema | None:
    """The object that a schema is, or may be beside null; None where it is something else."""
    options = [option for option in schema.get("anyOf", (schema,)) if option.get("type") != "null"]
    if len(options) != 1 or "$ref" not in options[0]:
        return None
    found: Schema = definitions[options[0]["$ref"].rsplit("/", 1)[-1]]
    return found if found.get("properties") else None


def type_of(schema: Schema, definitions: Schema) -> str:
    """A type in a few words, with its bounds."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        inner = definitions[name]
        if "properties" in inner:
            return "{" + ", ".join(f"`{key}`" for key in inner["properties"]) + "}"
        return type_of(inner, definitions)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            named = [type_of(option, definitions) for option in schema[several] if option.get("type") != "null"]
            return " or ".join(dict.fromkeys(named))
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        if "prefixItems" in schema:
            return "list: " + ", ".join(type_of(item, definitions) for item in schema["prefixItems"])
        return f"list of {type_of(schema.get('items', {}), definitions)}"
    bounds = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
    return " ".join([kind, *bounds])


def _default(schema: Schema) -> str:
    value = schema.get("default")
    return "" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"
