"""Reading a configuration file. Errors name the line, the problem, and the key that was probably meant."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from deployments.errors import did_you_mean
from serve.config.service import ServiceConfig, absolute_paths


class ConfigError(Exception):
    """An invalid configuration. The message has one line `file:line: problem` per problem."""


def read_config_file(path: Path) -> ServiceConfig:
    """The service that a YAML file describes.

    Raises:
        ConfigError: unreadable, not YAML, or not a valid configuration.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: a configuration is a mapping with the key `models`")
    try:
        return ServiceConfig(**absolute_paths(data, path.resolve().parent))
    except ValidationError as error:
        problems = [(_line(root, problem["loc"]), describe(problem)) for problem in error.errors(include_url=False)]
        problems.sort(key=lambda problem: problem[0])
        raise ConfigError("\n".join(f"{path}:{line}: {problem}" for line, problem in problems)) from error


def describe(problem: Any) -> str:
    """A pydantic error as a sentence that names the key, and for an unknown key the nearest valid one."""
    place = ".".join(str(part) for part in problem["loc"]) or "configuration"
    if problem["type"] == "extra_forbidden":
        hint = did_you_mean(str(problem["loc"][-1]), _valid_keys(problem["loc"]), quote="`")
        return f"unknown key `{place}`; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"`{place}`: {message[0].lower() + message[1:]}"


def _line(root: yaml.Node | None, loc: Sequence[Any]) -> int:
    """The line (from 1) of the deepest part of `loc` that is in the file."""
    node, line = root, 1
    for part in loc:
        found = _child(node, part)
        if found is None:
            break
        key, node = found
        line = key.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: Any) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _valid_keys(loc: Sequence[Any]) -> list[str]:
    """The valid keys of the section that has an unknown one."""
    section: type[BaseModel] = ServiceConfig
    for part in loc[:-1]:
        if isinstance(part, int) or part not in section.model_fields:
            continue
        section = _section(section.model_fields[part].annotation) or section
    return list(section.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The configuration section inside an annotation such as `list[ModelConfig]` or `Pooling | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _section(argument))), None)
