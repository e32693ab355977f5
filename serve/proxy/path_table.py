"""PathTable: the paths by which HAProxy can find a model, from the protocols' operations and the tasks' aliases."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from deployments.errors import Overloaded
from serve.cluster.haproxy_overload import MESSAGE, REQUEST_ID

NATIVE = "native"  # format of the service's own errors


@dataclass(frozen=True, slots=True)
class PathTable:
    """Plain data, so that it can be kept in a file.

    Attributes:
        by_body: by path of an operation whose body names the model: the tasks that can answer; empty for any.
        by_path: paths with `{model}`.
        below: paths below a model's name.
        aliases: by task, its other names.
        formats: by path, the name of the format of its errors, if the path is an operation's.
        refusals: by format: a refusal's body, with `REQUEST_ID` in it.
    """

    by_body: Mapping[str, list[str]]
    by_path: list[str]
    below: list[str]
    aliases: Mapping[str, list[str]]
    formats: Mapping[str, str]
    refusals: Mapping[str, str]


def path_table() -> PathTable:
    """The table of this version. It imports the protocols, which takes a second."""
    from deployments.registry import ALIASES, TASKS
    from serve.apis.huggingface.paths import CHAT, COMPLETIONS, PIPELINE
    from serve.apis.open_inference.messages import VERSION
    from serve.apis.protocols import PROTOCOLS, error_format_of

    content = {"error": MESSAGE, "error_type": Overloaded.error_type, "request_id": REQUEST_ID}
    refusals = {protocol.slug: orjson.dumps(protocol.error_format(content)).decode() for protocol in PROTOCOLS}
    slugs = {protocol.error_format: protocol.slug for protocol in PROTOCOLS}
    by_body: dict[str, list[str]] = {}
    by_path: list[str] = []
    formats: dict[str, str] = {}
    for operation in (each for protocol in PROTOCOLS for each in protocol.operations):
        if not operation.names_model or operation.is_form:  # HAProxy cannot read a form
            continue
        path = operation.path.replace("{version}", VERSION)
        formats[path] = slugs[error_format_of(path)]
        if "{model}" in path:
            by_path.append(path)
        else:
            by_body[path] = list(operation.tasks)
    below = ["", CHAT, COMPLETIONS, *(PIPELINE + name for name in (*TASKS, *ALIASES))]
    # A view that only some models of a task have is not among them: the proxy knows a model's task, and not its class.
    aliases = {task: [alias for alias in ALIASES if alias in kind.aliases] for task, kind in TASKS.items()}
    return PathTable(by_body, by_path, below, aliases, formats, refusals)


def cached_path_table(file: Path) -> PathTable:
    """The table from a file, which is written if it is not there."""
    try:
        kept: dict[str, Any] = orjson.loads(file.read_bytes())
        return PathTable(**kept)
    except FileNotFoundError:
        table = path_table()
        whole = file.with_name(f"{file.name}.{os.getpid()}")
        whole.write_bytes(orjson.dumps(asdict(table)))
        whole.replace(file)
        return table
