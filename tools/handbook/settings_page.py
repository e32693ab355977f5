"""The reference of a configuration file, from the models that read it."""

from serve.config.service import ServiceConfig
from tools.handbook.fields import tables

HEAD = """# Configuration reference

Every key of a configuration file, as the program itself reads them; the [guide](configuration.md) shows how they go
together. `automodel-serve check FILE` names the line and the nearest key of every mistake.
"""


def page() -> str:
    """Markdown: a table of the keys that are no section, and one for each section."""
    schema = ServiceConfig.model_json_schema()
    definitions = schema.get("$defs", {})
    models = tables(definitions["ModelConfig"], definitions, "models[]")
    return "\n".join([HEAD, tables(schema, definitions), models])
