"""Reads and writes the files of a model folder: JSON settings and safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

MAX_POSITIONS = 512
"""Position embeddings of each embedded BERT."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_json(path: Path, content: object) -> None:
    """Write JSON the way transformers does: indented, UTF-8, with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file with the metadata that transformers requires (names of a torch model).

    safetensors' own `save_file` makes the file readable by its owner only, but the service may run as another user than
    the one that built the cache.
    """
    contiguous = {name: np.asarray(value, order="C") for name, value in weights.items()}  # scalars stay scalars
    path.write_bytes(save(contiguous, metadata={"format": "pt"}))


def tidy_tokenizer(folder: Path) -> None:
    """Set the tokenizer's maximum length, and remove padding and truncation settings from its files.

    A `tokenizer.json` stores the settings of the last call (one of ours pads everything to 128 tokens), which apply
    when the file is loaded with the `tokenizers` library.
    """
    settings = read_json(folder / "tokenizer_config.json")
    leftovers = ("max_length", "stride", "truncation_strategy", "pad_to_multiple_of", "name_or_path", "is_local")
    settings = {key: value for key, value in settings.items() if key not in leftovers}
    write_json(folder / "tokenizer_config.json", {**settings, "model_max_length": MAX_POSITIONS})
    tokenizer = read_json(folder / "tokenizer.json")
    write_json(folder / "tokenizer.json", {**tokenizer, "truncation": None, "padding": None})


def adapt_config(folder: Path, architecture: str, labels: tuple[str, ...] = ()) -> None:
    """Set the model class in `config.json`, from which the service derives the task, and, if given, its labels."""
    config = read_json(folder / "config.json")
    config.pop("_name_or_path", None)
    config["architectures"] = [architecture]
    if labels:
        config["id2label"] = {str(index): label for index, label in enumerate(labels)}
        config["label2id"] = {label: index for index, label in enumerate(labels)}
    write_json(folder / "config.json", config)
