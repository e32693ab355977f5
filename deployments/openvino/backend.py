"""Which backend computes a model's forwards, and why not the other one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deployments.config import ModelConfig
from deployments.contract.task import Task
from deployments.errors import LoadError
from deployments.openvino.manifest import Build, find_build, is_installed
from deployments.openvino.precision import missing

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
        manifest = self.build.manifest
        measured = {} if manifest.agreement is None else {"backend_agreement": asdict(manifest.agreement)}
        return {"backend": "openvino", "backend_difference": manifest.difference, **measured}


def unbuildable(config: ModelConfig, kind: type[Task[Any, Any]]) -> str | None:
    """Why a model is not built for OpenVINO, as far as its configuration tells; None if it is."""
    if config.backend == "torch":
        return "it is configured"
    if config.device == "cuda" or (config.device == "auto" and config.resources.num_gpus > 0):
        return "it runs on a GPU"
    if reason := kind.unbuildable(config):
        return reason
    return missing(config.dtype)


def torch_computes(config: ModelConfig) -> bool:
    """Whether torch may compute a model that no build computes, and is installed."""
    return config.backend != "openvino" and config.dtype != "int8" and is_installed("torch")


def choose_backend(config: ModelConfig, kind: type[Task[Any, Any]]) -> Backend:
    """The backend of a model on this machine.

    Raises:
        LoadError: OpenVINO is configured, by `backend` or `dtype`, and cannot compute it; torch would have to, and
            is not installed; or the checkpoint cannot be read.
    """
    reason = unbuildable(config, kind)
    if reason is None and kind.imports_torch and not is_installed("torch"):
        reason = "torch samples its tokens"
    if reason is None:
        build = find_build(config, kind)
        if build is not None and not build.manifest.refused:
            return Backend(build)
        reason = NOT_BUILT if build is None else build.manifest.refused
    _require_torch(config, reason)
    return Backend(None, reason)


def require_backend(config: ModelConfig, kind: type[Task[Any, Any]]) -> None:
    """Refuse a model that nothing on this machine can compute. A build that can still be made here counts as there.

    Raises:
        LoadError: what is configured, or missing, and why.
    """
    reason = unbuildable(config, kind)
    if reason is not None:
        _require_torch(config, reason)
    elif not is_installed("torch"):
        choose_backend(config, kind)


def _require_torch(config: ModelConfig, reason: str) -> None:
    """Raise unless torch may and can compute a model, which no build computes for this reason."""
    if torch_computes(config):
        return
    if config.dtype == "int8" or config.backend == "openvino":
        setting = "dtype: int8" if config.dtype == "int8" else "backend: openvino"
        raise LoadError(f"{config.name}: {setting} cannot compute it: {reason}")
    raise LoadError(f"{config.name}: torch would have to compute it, and is not installed here: {reason}")
