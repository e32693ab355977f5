"""Which backend computes a model's forwards, and why not the other one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.config import ModelConfig
from deployments.contract.task import Task
from deployments.errors import LoadError
from deployments.openvino.manifest import Build, find_build

NOT_BUILT = "it has no build on this machine (automodel-serve build)"


@dataclass(frozen=True, slots=True)
class Backend:
    """The choice.

    Attributes:
        build: of OpenVINO; None: torch computes.
        reason: why torch does.
    """

    build: Build | None
    reason: str = ""

    @property
    def description(self) -> Mapping[str, Any]:
        """For the answer to `GET /tasks/<task>`."""
        if self.build is None:
            return {"backend": "torch", "backend_reason": self.reason}
        return {"backend": "openvino", "backend_difference": self.build.manifest.difference}


def unbuildable(config: ModelConfig, kind: type[Task[Any, Any]]) -> str | None:
    """Why a model is not built for OpenVINO, as far as its configuration tells; None if it is."""
    if config.backend == "torch":
        return "it is configured"
    if config.device == "cuda" or (config.device == "auto" and config.resources.num_gpus > 0):
        return "it runs on a GPU"
    if reason := kind.unbuildable(config):
        return reason
    if config.dtype not in (None, "float32"):
        return f"its dtype is {config.dtype}"
    return None


def choose_backend(config: ModelConfig, kind: type[Task[Any, Any]]) -> Backend:
    """The backend of a model on this machine.

    Raises:
        LoadError: OpenVINO is configured, and cannot compute it; or the checkpoint cannot be read.
    """
    reason = unbuildable(config, kind)
    if reason is None:
        build = find_build(config, kind)
        if build is not None and not build.manifest.refused:
            return Backend(build)
        reason = NOT_BUILT if build is None else build.manifest.refused
    if config.backend == "openvino":
        raise LoadError(f"{config.name}: backend: openvino cannot compute it: {reason}")
    return Backend(None, reason)
