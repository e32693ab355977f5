"""Sparse vectors by SPLADE: a masked language model's logits, pooled over the tokens of a text.

A text's vector has the size of the vocabulary: `log(1 + relu(logit))` of each entry, its maximum or its sum over the
tokens. Logits of all tokens take a hundred times as much memory as the vectors, so few tokens have theirs at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.config import ModelConfig
from deployments.text.module_files import ModuleFiles
from deployments.text.sentence_transformers import Reading, read_reading

if TYPE_CHECKING:
    from torch import Tensor

MODE = "splade"  # of `pooling` in the configuration
LOGITS = 1 << 24  # at a time
_HINT = f"set `pooling: {{mode: {MODE}}}` in the configuration to serve its masked language model with max pooling"

Decode = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True, slots=True)
class Splade:
    """What the files say.

    Attributes:
        strategy: `max` or `sum`, over the tokens.
        logarithms: how often `log(1 + x)` is applied.
        max_active_dims: entries of a vector to keep, the largest; None for all.
        reading: how texts are read.
    """

    strategy: str = "max"
    logarithms: int = 1
    max_active_dims: int | None = None
    reading: Reading = Reading()


def is_splade(config: ModelConfig) -> bool:
    """Whether the configuration chooses sparse vectors, or sentence-transformers wrote the checkpoint for them."""
    if config.pooling is not None:
        return config.pooling.mode == MODE
    files = ModuleFiles(config)
    return bool(files.modules) and (
        files.settings.get("model_type") == "SparseEncoder" or "SpladePooling" in files.kinds
    )


def read_splade(config: ModelConfig) -> Splade:
    """Read `modules.json` and the files that it names, unless the configuration has a pooling.

    Raises:
        LoadError: the files require something that is not served, or a file is missing.
    """
    files = ModuleFiles(config)
    if config.pooling is not None:
        return Splade(reading=read_reading(files))
    if files.kinds not in (["MLMTransformer", "SpladePooling"], ["Transformer", "SpladePooling"]):
        raise files.unsupported(f"has modules in the order {', '.join(files.kinds)}", _HINT)
    settings = files.required(files.modules[1].folder)
    strategy, activation = settings.get("pooling_strategy", "max"), settings.get("activation_function", "relu")
    if strategy not in ("max", "sum") or activation not in ("relu", "log1p_relu"):
        raise files.unsupported(f"requires the pooling {strategy} with {activation}", _HINT)
    return Splade(
        strategy=strategy,
        logarithms=2 if activation == "log1p_relu" else 1,
        max_active_dims=files.settings.get("max_active_dims"),
        reading=read_reading(files),
    )


def sparse_vectors(hidden: "Tensor", lengths: Sequence[int], decode: Decode, width: int, splade: Splade) -> "Tensor":
    """Vectors `[rows, width]` of rows.

    Args:
        hidden: `[rows, positions, …]`; positions beyond a row's length are padding and ignored.
        lengths: of each row.
        decode: hidden states `[positions, …]` to logits `[positions, width]`.
        width: of the vocabulary.
        splade: how they are pooled.
    """
    import numpy as np
    import torch

    rows = np.repeat(np.arange(len(lengths)), lengths)  # the row of each token
    places = np.concatenate([np.arange(length) for length in lengths]) + rows * hidden.shape[1]
    tokens = hidden.reshape(-1, *hidden.shape[2:])
    vectors = torch.zeros(len(lengths), width, device=hidden.device)
    step = max(1, LOGITS // width)
    for start in range(0, len(rows), step):
        chosen = torch.from_numpy(places[start : start + step]).to(hidden.device)
        logits = decode(tokens[chosen]).float()
        found, counts = np.unique(rows[start : start + step], return_counts=True)
        for row, part in zip(found.tolist(), torch.split(logits, counts.tolist()), strict=True):
            if splade.strategy == "max":  # of the logits: the function after it is monotonic
                vectors[row] = torch.maximum(vectors[row], part.amax(0))
            else:
                vectors[row] += _activated(part, splade.logarithms).sum(0)
    return _activated(vectors, splade.logarithms) if splade.strategy == "max" else vectors


def _activated(logits: "Tensor", logarithms: int) -> "Tensor":
    values = logits.relu()
    for _ in range(logarithms):
        values = values.log1p()
    return values


def take_decoder(model: Any, ids: Sequence[int]) -> tuple[Decode, int]:
    """Take the last layer, hidden states to logits, out of a masked language model.

    The model then gives hidden states in place of logits. Where its logits for `ids` are not those of the layer alone,
    it stays as it is, and the layer is none.

    Returns:
        The layer, and the size of the vocabulary.
    """
    import torch

    inputs = torch.tensor([list(ids)], device=next(model.parameters()).device)
    decoder = model.get_output_embeddings()
    with torch.inference_mode():
        whole = model(inputs).logits
        width = whole.shape[-1]
        name = next((name for name, module in model.named_modules() if module is decoder), None)
        if isinstance(decoder, torch.nn.Linear) and name is not None:
            parent, leaf = model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
            setattr(parent, leaf, torch.nn.Identity())
            try:
                if torch.allclose(decoder(model(inputs).logits), whole, rtol=1e-4, atol=1e-4):
                    return decoder, width
            except Exception:  # a head may do anything with its layer; it keeps it
                pass
            setattr(parent, leaf, decoder)
    return torch.nn.Identity(), width
