"""Loads the task of a replica: on a build of OpenVINO if there is one that holds, else in torch."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deployments.config import ModelConfig
from deployments.contract.task import Task
from deployments.errors import LoadError
from deployments.generation.paged_attention.build import build_decoder, load_decoder
from deployments.generation.task import GeneratingTask
from deployments.layouts.task import ForwardTask
from deployments.openvino.backend import Backend, choose_backend, torch_computes
from deployments.openvino.build import build_model
from deployments.openvino.load import load_build
from deployments.openvino.manifest import Build, Manifest
from deployments.openvino.precision import missing
from deployments.openvino.without_torch import allow_torch, forbid_torch
from deployments.replica.downloading import report_download

logger = logging.getLogger(__name__)


def load_task(
    config: ModelConfig, kind: type[Task[Any, Any]], *, report: Callable[[str], None], owns_process: bool
) -> tuple[Task[Any, Any], Backend]:
    """The loaded task, and what computes it.

    Args:
        config: the model.
        kind: its task.
        report: called with the progress of a download.
        owns_process: nothing else runs in this process, which does without torch where none is needed.

    Raises:
        LoadError: the model cannot be served as configured.
    """
    backend = choose_backend(config, kind)
    if backend.build is not None:
        if owns_process and not kind.imports_torch:
            forbid_torch()
        try:
            return _load_build(config, kind, backend.build), backend
        except LoadError as error:
            if not torch_computes(config):
                raise
            logger.warning("torch computes %s: %s", config.name, error)
            backend = Backend(None, str(error))
    elif (reason := missing(config.dtype)) and reason == backend.reason:
        logger.warning("torch computes %s in %s: %s", config.name, config.dtype, reason)
    return _load_in_torch(config, kind, report), backend


def build_task(config: ModelConfig, kind: type[Task[Any, Any]], folder: Path) -> Manifest:
    """Make the build of a model in a folder. Needs torch.

    Raises:
        LoadError: the model cannot be served at all.
    """
    task = kind(kind.load_checkpoint(config.model_copy(update={"dtype": "float32"})))
    if isinstance(task, GeneratingTask):
        return build_decoder(task, folder, config.dtype)
    assert isinstance(task, ForwardTask)
    return build_model(task, folder, config.dtype)


def _load_build(config: ModelConfig, kind: type[Task[Any, Any]], build: Build) -> Task[Any, Any]:
    if issubclass(kind, GeneratingTask):
        return load_decoder(config, kind, build)
    assert issubclass(kind, ForwardTask)
    return load_build(config, kind, build)


def _load_in_torch(config: ModelConfig, kind: type[Task[Any, Any]], report: Callable[[str], None]) -> Task[Any, Any]:
    allow_torch()
    import torch

    if config.resources.cpu_threads:
        torch.set_num_threads(config.resources.cpu_threads)
    with report_download(config.model, report):
        return kind(kind.load_checkpoint(config))
