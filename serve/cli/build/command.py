"""`automodel-serve build`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deployments.checkpoints.files import EMBEDDED_PREFIX
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.openvino.backend import torch_computes, unbuildable
from deployments.openvino.manifest import find_build
from deployments.openvino.pruning import prune
from deployments.registry import task_of
from serve.cli.build.builds import make_builds, unbuilt
from serve.cli.embedded import build_embedded
from serve.cli.terminal import configure_logging, console, fail
from serve.config.file import ConfigError, read_config_file
from serve.config.service import embedded_config


def build(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="YAML file; default: the embedded models.", show_default=False),
    ] = None,
    removes: Annotated[
        bool,
        typer.Option(
            "--prune", help="Then remove builds of these models that they no longer use, unless a process uses them."
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show warnings of the exporters.")] = False,
) -> None:
    """Export models for OpenVINO, once, so that they start without torch.

    Each model's graph is compared with torch on rows of all lengths, and kept
    if it answers the same. `up` and `apply` do this for models that lack a
    build; run it beforehand where they must start quickly, as in an image.
    """
    configure_logging(verbose)
    try:
        service = embedded_config() if config is None else read_config_file(config)
        build_embedded(console, [m.model for m in service.models if m.model.startswith(EMBEDDED_PREFIX)])
        failed = make_builds(console, missing) if (missing := unbuilt(service.models)) else {}
        console.print(_table(service.models, failed))
        if removes:
            _prune(service.models)
    except (ConfigError, LoadError) as error:
        fail(str(error))
    if failed:
        raise typer.Exit(1)


def _prune(models: Sequence[ModelConfig]) -> None:
    removed, kept = prune([(model, task_of(model)) for model in models])
    for folder in removed:
        console.print(f"removed {folder.name}", highlight=False)
    for folder in kept:
        console.print(f"kept {folder.name}: a process uses it", highlight=False)


def _table(models: Sequence[ModelConfig], failed: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, wrap in (("model", False), ("backend", False), ("", True)):
        table.add_column(column, no_wrap=not wrap, overflow="fold")
    for model in models:
        table.add_row(model.name, *_row(model, failed))
    return table


def _row(model: ModelConfig, failed: dict[str, str]) -> tuple[str, str]:
    if model.name in failed:
        return _without(model), failed[model.name]
    kind = task_of(model)
    reason = unbuildable(model, kind)
    if reason is not None:
        return _without(model), reason
    found = find_build(model, kind)
    if found is None or found.manifest.refused:
        return _without(model), "" if found is None else found.manifest.refused
    manifest = found.manifest
    if manifest.agreement is not None:
        return "openvino", f"{manifest.layout}; {model.dtype}; differs from torch {manifest.agreement}"
    return "openvino", f"{manifest.layout}; differs from torch by at most {manifest.difference:.0e}"


def _without(model: ModelConfig) -> str:
    """What computes a model that has no build."""
    return "torch" if torch_computes(model) else "none"
