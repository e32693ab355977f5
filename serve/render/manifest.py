"""Manifests as YAML: keys in their order, and a text of many lines as one block."""

from typing import Any

import yaml


class Literal(str):
    """A text that is written as a block, as it stands."""


class _Dumper(yaml.SafeDumper):
    """Without anchors, which kustomize would have to resolve."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(Literal, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def as_yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
