"""Custom resources against their definitions, as an API server reads them: defaults applied, nulls dropped, closed."""

from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from tests.k8s.manifests import ROOT, Manifest

FOLDER = ROOT.parent / "shared" / "crds"  # beside the checkout where there is one; too large to be part of it


@cache
def definitions() -> dict[tuple[str, str], dict[str, Any]]:
    """Schemas by apiVersion and kind."""
    if not FOLDER.is_dir():
        pytest.skip(f"no definitions of custom resources in {FOLDER}")
    found = {}
    for path in sorted(FOLDER.glob("*_*.yaml")):
        definition = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        group, kind = definition["spec"]["group"], definition["spec"]["names"]["kind"]
        for version in definition["spec"]["versions"]:
            found[f"{group}/{version['name']}", kind] = version["schema"]["openAPIV3Schema"]
    return found


def problems(manifest: Manifest) -> list[str]:
    """What an API server would refuse."""
    schema = definitions()[manifest["apiVersion"], manifest["kind"]]
    read = with_defaults(without_nulls(manifest), schema)
    found = jsonschema.Draft7Validator(closed(schema)).iter_errors(read)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in found]


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        filled = {name: part["default"] for name, part in properties.items() if "default" in part} | value
        other = schema.get("additionalProperties")
        other = other if isinstance(other, dict) else {}
        return {key: with_defaults(item, properties.get(key, other)) for key, item in filled.items()}
    if isinstance(value, list):
        return [with_defaults(item, schema.get("items", {})) for item in value]
    return value


def closed(schema: Any) -> Any:
    """The schema without room for unknown keys, which a server would drop in silence."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(part) for key, part in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict) and not is_open:
        parts["additionalProperties"] = False
    return parts
