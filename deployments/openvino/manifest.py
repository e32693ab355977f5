"""The builds of models: a folder in the cache for each, named by what went into it.

A build is made once, by `build`, and read by every replica. It holds what a forward needs without torch: the graph,
the model's configuration and facts, and reference outputs. A model that OpenVINO does not answer as torch does has a
build, too: it says why.
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deployments.checkpoints.facts import Frames, ModelFacts
from deployments.checkpoints.files import base_source, find_file, read_adapter, read_json, transformer_folder
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.openvino.agreement import Agreement
from deployments.openvino.calibration import read_calibration
from deployments.zoo.cache import cache_folder, remove_abandoned

FORMAT = 2  # of the folder; another one is built anew
MANIFEST = "manifest.json"
GRAPH = "model.xml"
WEIGHTS = "model.bin"
REFERENCE = "reference.npz"

OTHER_MACHINE = 1.5
"""Times the difference measured at the build: other instructions round otherwise, and int8 saturates on some."""

_PACKAGES = ("automodel-serve", "transformers", "openvino")
_SUFFIXES = {".json", ".safetensors", ".bin", ".model", ".txt", ".jinja"}  # of what a model is made of


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a build is.

    Attributes:
        refused: why torch answers; empty if the graph does.
        layout: of the graph, by its name.
        trims: whether only the positions that the head needs go on to it.
        difference: largest difference of the graph's outputs, in this layout, from the model's in torch alone.
        facts: of the model.
        versions: of the packages that it was made with.
        sizes: of its files, in bytes; a build with others is damaged.
        agreement: with torch in float32, measured; None of a build in float32, which answers the same.
    """

    refused: str = ""
    layout: str = ""
    trims: bool = True
    difference: float = 0.0
    facts: ModelFacts | None = None
    versions: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    agreement: Agreement | None = None

    def write(self, folder: Path) -> None:
        """Write it beside the files of a build, whose sizes it takes."""
        sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
        content = {"format": FORMAT, **asdict(replace(self, sizes=sizes))}
        (folder / MANIFEST).write_text(json.dumps(content, indent=1), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Build:
    """A finished build."""

    folder: Path
    manifest: Manifest

    def allowed_difference(self, tolerance: float) -> float:
        """Largest difference of the reference outputs from torch that a replica accepts.

        Args:
            tolerance: of float32.
        """
        agreement = self.manifest.agreement
        return tolerance if agreement is None else OTHER_MACHINE * agreement.largest_difference


def read_build(folder: Path) -> Build | None:
    """The build in a folder; None if there is none, or none that can be used."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            return None
        facts = content.pop("facts")
        if facts is not None:
            frames = facts.pop("frames")
            inputs = tuple(facts.pop("inputs"))
            facts = ModelFacts(**facts, inputs=inputs, frames=None if frames is None else Frames(**frames))
        agreement = content.pop("agreement", None)
        manifest = Manifest(**content, facts=facts, agreement=agreement and Agreement(**agreement))
        is_whole = all((folder / name).stat().st_size == size for name, size in manifest.sizes.items())
        its_torch = manifest.versions.get("torch")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # absent, damaged or foreign
        return None
    if not is_whole or _version("torch") not in (its_torch, None):
        return None
    return Build(folder, manifest)


def build_folder(config: ModelConfig, task: type[Any]) -> Path:
    """Where the build of a model is, or will be.

    Raises:
        LoadError: the checkpoint, or the calibration, cannot be read.
    """
    settings = config.model_dump(mode="json", include={"dtype", "max_length", "pooling", "revision"})
    parts: list[Any] = [FORMAT, task.__name__, settings, config.batching.layout]
    parts += [(name, _version(name)) for name in _PACKAGES]
    if config.calibration is not None:
        parts.append(hashlib.sha256(read_calibration(config.calibration)).hexdigest())
    parts += [(path.name, _digest(path, *_stamp(path))) for path in _files(config)]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return cache_folder() / "builds" / f"{config.name}-{key}"


def find_build(config: ModelConfig, task: type[Any]) -> Build | None:
    """The build of a model, if there is one.

    Raises:
        LoadError: the checkpoint cannot be read.
    """
    return read_build(build_folder(config, task))


def make_build(config: ModelConfig, task: type[Any], fill: Callable[[Path], Manifest]) -> Build:
    """Make a build, in a folder of its own that is moved into place once it is whole.

    Two processes may do this at once: the first one to finish moves its folder into place, and the other one discards
    its own. What lies there and cannot be used is replaced.

    Args:
        config: the model.
        task: its task.
        fill: writes the build's files into a folder.
    """
    builds = cache_folder() / "builds"
    remove_abandoned(builds)
    workspace = builds / f".{config.name}-{uuid.uuid4().hex}"
    workspace.mkdir(parents=True)
    try:
        fill(workspace).write(workspace)
        finished = build_folder(config, task)  # now that its files have been downloaded
        if finished.exists() and read_build(finished) is None:
            shutil.rmtree(finished)
        try:
            workspace.rename(finished)
        except OSError:
            if read_build(finished) is None:  # else another process was first
                raise
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    build = read_build(finished)
    if build is None:
        raise LoadError(f"{config.name}: its build in {finished} cannot be read")
    return build


def unfit(config: ModelConfig, build: Build, what: str) -> LoadError:
    """The error for a build that does not hold on this machine."""
    other = "set another `dtype`" if config.dtype == "int8" else "set `backend: torch`"
    return LoadError(f"{config.name}: OpenVINO {what}; remove {build.folder}, or {other}")


def versions() -> dict[str, str]:
    """The versions that a build depends on."""
    return {name: found for name in (*_PACKAGES, "torch") if (found := _version(name)) is not None}


def is_installed(package: str) -> bool:
    """Whether a package is installed, even if it counts as absent in this process."""
    return _version(package) is not None


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _files(config: ModelConfig) -> Iterator[Path]:
    """The checkpoint's files, those of an adapter, and those of the modules that sentence-transformers names."""
    inner = transformer_folder(config.model, config.revision)
    path = find_file(config.model, inner + "config.json", config.revision)
    if path is None:
        raise LoadError(f"{config.model}: no config.json")
    root = path.parent.parent if inner else path.parent
    modules = read_json(config.model, "modules.json", config.revision, list) or []
    folders = {root, path.parent, *(root / str(module.get("path", "")) for module in modules)}
    adapter = read_adapter(config.model, config.revision)
    if adapter is not None:
        base = Path(base_source(config.model, adapter)[0])
        folders |= {adapter.folder, *([base] if base.is_dir() else [])}
    for folder in sorted(folders):
        for file in sorted(folder.iterdir()):
            if file.suffix in _SUFFIXES and file.is_file():
                yield file


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@cache
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
