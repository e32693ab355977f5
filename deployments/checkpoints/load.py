"""Loads checkpoints: `config.json` first, which names the task, then the weights.

If the checkpoint lacks weights, such as those of the head, loading fails; transformers would initialize them randomly.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.checkpoints.adapter import Adapter, AdapterWeights, require_peft
from deployments.checkpoints.defects import require_files, require_known, require_labels
from deployments.checkpoints.facts import ExportedModel
from deployments.checkpoints.files import (
    base_source,
    find_file,
    read_adapter,
    read_config,
    read_medium,
    source_of,
    transformer_folder,
)
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.memory import limit_memory

logger = logging.getLogger(__name__)

_NO_FOLDER = "none"


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
        unused_weights: names of weights in its files that the model has no place for.
        adapter: PEFT's type of the adapter that is merged into the weights; None if there is none.
    """

    folder: Path | None
    model: Any
    processor: Any
    device: str
    dtype: str
    config: ModelConfig
    unused_weights: tuple[str, ...] = ()
    adapter: str | None = None

    @property
    def pad_token_id(self) -> int:
        pad = getattr(self.processor, "pad_token_id", None)
        if pad is None:
            pad = getattr(self.model.config, "pad_token_id", None)
        return int(pad or 0)


def require_servable(config: ModelConfig) -> None:
    """Reject a checkpoint of which its files say that it cannot be loaded. Loads no weights.

    Raises:
        LoadError: what is wrong, and what to do.
    """
    adapter = read_adapter(config.model, config.revision)
    if adapter is not None:
        require_peft(config.model, adapter)
        require_files(config.model, adapter.folder)
    settings = read_config(config.model, config.revision)
    path = find_file(config.model, transformer_folder(config.model, config.revision) + "config.json", config.revision)
    assert path is not None
    require_files(config.model, path.parent)
    require_known(config.model, settings)
    require_labels(config.model, settings)


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
    device = _device_of(config)
    require_servable(config)
    adapter = read_adapter(config.model, config.revision)
    loader = _Loader(config, adapter, auto_model, config.dtype or ("float32" if device == "cpu" else "auto"))
    processor = loader.processor(load_processor)
    model, report = loader.model()
    _require_vocabulary(config, processor)
    _require_weights(config, auto_model, model, report, unused_weights)
    model.eval().to(device)
    model.config.use_cache = False
    file = find_file(config.model, transformer_folder(config.model, config.revision) + "config.json", config.revision)
    dtype = next((str(p.dtype) for p in model.parameters() if p.dtype.is_floating_point), "float32")
    unused = tuple(sorted(report["unexpected_keys"]))
    if unused:
        logger.warning("%s has no place for weights of the checkpoint: %s", type(model).__name__, _shorten(unused))
    return Checkpoint(
        folder=file.parent if file else None,
        model=model,
        processor=processor,
        device=device,
        dtype=dtype.removeprefix("torch."),
        config=config,
        unused_weights=unused,
        adapter=None if adapter is None else adapter.kind,
    )


def load_exported(
    config: ModelConfig, model: ExportedModel, load_processor: Callable[[str, str | None], Any]
) -> Checkpoint:
    """Load the processor of a checkpoint whose forwards were exported. Needs no torch.

    Raises:
        LoadError: it cannot be loaded.
    """
    _silence()
    processor = _Loader(config, read_adapter(config.model, config.revision)).processor(load_processor)
    _require_vocabulary(config, processor)
    return Checkpoint(None, model, processor, "cpu", config.dtype or "float32", config)


def _silence() -> None:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _device_of(config: ModelConfig) -> str:
    """The device, with the process's share of its memory set, and transformers silenced."""
    _silence()
    device = choose_device(config)
    if device == "cuda":
        limit_memory(config.resources.num_gpus)
    return device


def _source(config: ModelConfig) -> str:
    """The argument for `from_pretrained`: a hub id or a folder, in the checkpoint the one with the transformer."""
    source, inner = source_of(config.model, config.revision), transformer_folder(config.model, config.revision)
    if not inner:
        return source
    if not Path(source).expanduser().is_dir():
        from huggingface_hub import snapshot_download

        source = snapshot_download(source, revision=config.revision, allow_patterns=f"{inner}*")
    return str(Path(source).expanduser() / inner)


class _Loader:
    """Calls `from_pretrained` for a checkpoint, or for the base of an adapter.

    Args:
        config: the model's configuration.
        adapter: in the checkpoint, if there is one.
        auto_model: the transformers class that loads the model.
        dtype: of the weights.
    """

    def __init__(
        self, config: ModelConfig, adapter: Adapter | None, auto_model: str = "AutoModel", dtype: str = "auto"
    ) -> None:
        self._config, self._auto_model, self._adapter, self._dtype = config, auto_model, adapter, dtype
        if adapter is None:
            self._source, self._revision = _source(config), config.revision
        else:
            self._source, self._revision = base_source(config.model, adapter)

    def processor(self, load: Callable[[str, str | None], Any]) -> Any:
        """Tokenizer or processor; an adapter may have its own.

        Raises:
            LoadError: it cannot be loaded.
        """
        is_text = read_medium(self._config.model, self._config.revision) == "text"
        with self._refusals():
            return load(*self.place_of("tokenizer_config.json" if is_text else "preprocessor_config.json"))

    def place_of(self, file: str) -> tuple[str, str | None]:
        """The source and revision of a tokenizer or processor with this file: an adapter may have its own."""
        if self._adapter is not None and (self._adapter.folder / file).is_file():
            return str(self._adapter.folder), None
        return self._source, self._revision

    def model(self) -> tuple[Any, Mapping[str, Any]]:
        """The model, with an adapter merged into it, and transformers' report of the load.

        Raises:
            LoadError: it cannot be loaded, or the adapter does not fit.
        """
        model, report = self._from_pretrained()
        if self._adapter is None:
            return model, report
        weights = AdapterWeights(self._config.model, self._adapter)
        if (labels := weights.labels(model)) is not None:
            model, report = self._from_pretrained(num_labels=labels)
        provided = {*weights.by_base_name()}
        model = weights.merge(model)
        logger.info("merged an adapter (%s) into %s", self._adapter.kind, self._source)
        return model, {**report, "missing_keys": {*report["missing_keys"]} - provided}

    def _from_pretrained(self, **options: Any) -> tuple[Any, Mapping[str, Any]]:
        import transformers

        if self._adapter is not None:
            # With PEFT installed, transformers looks for an adapter, too; it is merged here, which costs no time later.
            options["adapter_kwargs"] = {"subfolder": _NO_FOLDER}
        with self._refusals():
            loaded: tuple[Any, Mapping[str, Any]] = getattr(transformers, self._auto_model).from_pretrained(
                self._source,
                revision=self._revision,
                dtype=self._dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # the report names them
                **options,
            )
        return loaded

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # damaged files raise the file libraries' own classes, tokenizers a bare Exception
            reason = _first_line(error)
            raise LoadError(f"{self._config.model}: cannot be loaded as {self._auto_model} ({reason})") from error


def load_tokenizer(config: ModelConfig) -> Any:
    """Load the tokenizer of a checkpoint whose processor reads audio or images and whose output is text.

    Raises:
        LoadError: there is none, or it has no vocabulary.
    """
    from transformers import AutoTokenizer

    source, revision = _Loader(config, read_adapter(config.model, config.revision)).place_of("tokenizer_config.json")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
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
    others = sorted(report.get("mismatched_keys") or ())
    missing = sorted({*report["missing_keys"]} - {name for name, *_ in others})
    missing = [key for key in missing if not _is_unused(key, unused)]
    if missing:
        raise LoadError(
            f"{config.model}: the checkpoint has no weights for {_shorten(missing)}; as {auto_model} it would run with "
            f"random weights. Its architecture is {', '.join(model.config.architectures or ['not stated'])}"
        )
    if others:
        shapes = [f"{name} is {list(own)}, not {list(wanted)}" for name, own, wanted in others]
        raise LoadError(
            f"{config.model}: weights have other shapes than config.json says (num_labels, id2label, vocab_size or "
            f"another size is wrong): {_shorten(shapes)}"
        )


def _is_unused(key: str, unused: tuple[str, ...]) -> bool:
    return any(re.search(rf"(^|\.){re.escape(part)}(\.|$)", key) for part in unused)


def _shorten(names: Sequence[str], max_names: int = 4) -> str:
    return ", ".join(names[:max_names]) + (f" and {len(names) - max_names} more" if len(names) > max_names else "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
