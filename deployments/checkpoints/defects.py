"""What is wrong with a checkpoint's files, in words that say what to do; found without loading anything."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deployments.errors import LoadError

ADAPTER = "adapter_config.json"
_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024  # a pointer is shorter
_WEIGHTS = (".safetensors", ".bin", ".model", ".json", ".txt")
# Files that show what a folder without a configuration of transformers is.
_OTHERS = {
    "model_index.json": "a pipeline of diffusers; only transformers' models are served",
    "open_clip_config.json": "a checkpoint of open_clip; convert it to transformers' CLIPModel",
    "params.json": "a checkpoint in its author's own format; use the repository that was converted to transformers",
    "*.gguf": "GGUF files; use the repository with the weights that they were made of",
    "*.onnx": "an ONNX model; use the repository with the weights that it was exported from",
    "*.pth": "a file of PyTorch's alone; save the model with transformers' `save_pretrained`",
}


def require_files(model: str, folder: Path) -> None:
    """Reject files that are not there yet.

    Raises:
        LoadError: some are pointers of git-lfs.
    """
    pointers = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in _WEIGHTS and is_pointer(path)
    )
    if pointers:
        named = ", ".join(pointers[:3]) + (f" and {len(pointers) - 3} more" if len(pointers) > 3 else "")
        raise LoadError(f"{model}: pointers of git-lfs in place of {named}; run `git lfs pull` in {folder}")


def is_pointer(path: Path) -> bool:
    """Whether a file is what git leaves in place of a large file that it has not fetched."""
    if not path.is_file() or path.stat().st_size > _POINTER_BYTES:
        return False
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def without_configuration(folder: Path) -> str:
    """What a folder without `config.json` is, as far as its files tell; "" if they do not."""
    for pattern, words in _OTHERS.items():
        if next(folder.glob(pattern), None) is not None:
            return words
    return ""


def require_known(model: str, config: Mapping[str, Any]) -> None:
    """Reject a configuration that transformers has no class for.

    Raises:
        LoadError: it is another library's, or needs code of its own.
    """
    family = config.get("model_type")
    if isinstance(family, str) and family != "timm_wrapper" and _is_known(family):
        return
    if family == "timm_wrapper" or (family is None and "pretrained_cfg" in config):
        raise LoadError(
            f"{model}: a checkpoint of timm ({config.get('architecture')}), which needs timm's code; use a checkpoint "
            "of transformers, such as of ResNet, ConvNeXt, ViT or EfficientNet"
        )
    if code := sorted({str(name).split(".")[0] for name in (config.get("auto_map") or {}).values()}):
        raise LoadError(
            f"{model}: needs code of its own ({', '.join(f'{name}.py' for name in code)}), which is not run; use a "
            "checkpoint of an architecture that transformers has"
        )
    if family is None:
        raise LoadError(f"{model}: config.json has no model_type, so transformers cannot tell the architecture")
    from transformers import __version__

    raise LoadError(f"{model}: transformers {__version__} does not know the model_type {family!r}")


def _is_known(family: str) -> bool:
    """Whether transformers has the family. Most have a folder of their name; for others it is imported, in seconds."""
    spec = find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    if family and (Path(spec.origin).parent / "models" / family.replace("-", "_")).is_dir():
        return True
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return family in CONFIG_MAPPING_NAMES


def require_labels(model: str, config: Mapping[str, Any]) -> None:
    """Reject labels of which some are missing.

    Raises:
        LoadError: `id2label` does not number them from 0 without holes.
    """
    names = config.get("id2label")
    if isinstance(names, dict) and (missing := list(_missing(names))):
        number = ", ".join(map(str, missing[:4]))
        raise LoadError(f"{model}: id2label in config.json has {len(names)} labels, but none for {number}; add them")


def _missing(names: Mapping[str, Any]) -> Iterator[int]:
    """The numbers below that of the last label that have none."""
    numbers = {int(number) for number in names if str(number).isdigit()}
    return (number for number in range(max(numbers, default=-1) + 1) if number not in numbers)
