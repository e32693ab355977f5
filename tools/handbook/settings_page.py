"""The reference of a configuration file, from the models that read it."""

from serve.config.service import ServiceConfig
from tools.handbook.fields import object_of, tables

HEAD = """# Configuration reference

Every key of a configuration file, as the program itself reads them; the [guide](configuration.md) shows how they go
together. `automodel-serve check FILE` names the line and the nearest key of every mistake.
"""


def page() -> str:
    """Markdown: a table for each section."""
    schema = ServiceConfig.model_json_schema()
    definitions = schema.get("$defs", {})
    parts = [HEAD, tables(definitions["ModelConfig"], definitions, "models[]")]
    for name, told in schema["properties"].items():
        section = object_of(told, definitions)
        if section is not None:
            parts.append(tables(section, definitions, name))
    return "\n".join(parts)
