"""Manifests as YAML: keys in their order, multi-line strings as blocks."""

from typing import Any

import yaml


class Literal(str):
    """A string that is written as a block even if it has one line."""


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, which kustomize would have to resolve."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if isinstance(text, Literal) or "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Literal, _text)


def as_yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
