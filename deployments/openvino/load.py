"""Loads a task whose forwards run from a build. Needs no torch."""

from typing import Any

from deployments.checkpoints.facts import ExportedModel
from deployments.checkpoints.load import load_exported
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.layouts.check import tolerance
from deployments.layouts.task import ForwardTask
from deployments.numerics import largest_difference
from deployments.openvino.build import reference_rows
from deployments.openvino.graph import Graph
from deployments.openvino.layouts import GraphLayout
from deployments.openvino.manifest import GRAPH, REFERENCE, Build
from deployments.openvino.precision import HINTS
from deployments.openvino.pruning import hold

OTHER_MACHINE = 1.5
"""Times the difference measured at the build: other instructions round otherwise, and int8 saturates on some."""


def load_build(config: ModelConfig, kind: type[ForwardTask[Any, Any]], build: Build) -> ForwardTask[Any, Any]:
    """The task with its layout, once the graph has answered as torch did where it was built.

    Raises:
        LoadError: its processor cannot be loaded, or the graph fails or answers otherwise here.
    """
    from transformers import AutoConfig

    manifest = build.manifest
    assert manifest.facts is not None
    model = ExportedModel(AutoConfig.from_pretrained(build.folder), manifest.facts)
    task = kind(load_exported(config, model, kind.load_processor))
    layout = next(each for each in task.layouts() if (each.name, each.trims) == (manifest.layout, manifest.trims))
    try:
        threads, precision = config.resources.cpu_threads, HINTS[config.dtype]
        task.layout = GraphLayout(layout, Graph(build.folder / GRAPH, task.outputs, threads, precision))
        difference = _reference_difference(task, build)
    except Exception as error:  # OpenVINO's own, for a file that is damaged or a machine that it does not know
        line, _, _ = str(error).partition("\n")
        raise _unfit(config, build, f"fails on this machine ({type(error).__name__}: {line})") from error
    if difference > _allowed(task, build):
        what = "answers otherwise on this machine than torch did at the build"
        raise _unfit(config, build, f"{what}, by {difference:.1e}")
    hold(build.folder)
    return task


def _allowed(task: ForwardTask[Any, Any], build: Build) -> float:
    """Largest difference of the reference rows from torch that a replica accepts."""
    agreement = build.manifest.agreement
    return tolerance(task) if agreement is None else OTHER_MACHINE * agreement.largest_difference


def _reference_difference(task: ForwardTask[Any, Any], build: Build) -> float:
    import numpy as np

    with np.load(build.folder / REFERENCE) as stored:
        expected = [stored[name] for name in stored.files]
    return largest_difference([task.forward([row], params)[0] for row, params in reference_rows(task)], expected)


def _unfit(config: ModelConfig, build: Build, what: str) -> LoadError:
    other = "set another `dtype`" if config.dtype == "int8" else "set `backend: torch`"
    return LoadError(f"{config.name}: OpenVINO {what}; remove {build.folder}, or {other}")
