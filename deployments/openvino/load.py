"""Loads a task whose forwards run from a build. Needs no torch."""

from typing import Any

from deployments.checkpoints.facts import ExportedModel
from deployments.checkpoints.load import load_exported
from deployments.config import ModelConfig
from deployments.layouts.check import tolerance
from deployments.layouts.task import ForwardTask
from deployments.numerics import largest_difference
from deployments.openvino.build import reference_rows
from deployments.openvino.graph import Graph, reason_of
from deployments.openvino.layouts import GraphLayout
from deployments.openvino.manifest import GRAPH, REFERENCE, Build, unfit
from deployments.openvino.precision import HINTS
from deployments.openvino.pruning import hold


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
        raise unfit(config, build, f"fails on this machine ({reason_of(error)})") from error
    if difference > build.allowed_difference(tolerance(task)):
        what = "answers otherwise on this machine than torch did at the build"
        raise unfit(config, build, f"{what}, by {difference:.1e}")
    hold(build.folder)
    return task


def _reference_difference(task: ForwardTask[Any, Any], build: Build) -> float:
    import numpy as np

    with np.load(build.folder / REFERENCE) as stored:
        expected = [stored[name] for name in stored.files]
    return largest_difference([task.forward([row], params)[0] for row, params in reference_rows(task)], expected)
