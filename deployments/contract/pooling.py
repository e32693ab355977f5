"""Hidden states to one vector, and how a checkpoint wants it: sentence-transformers' files beside the weights."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from deployments.checkpoint import Checkpoint, find_file
from deployments.config import ModelConfig, Pooling
from deployments.contract.task import RequestBody
from deployments.errors import InvalidInput, LoadError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}


@dataclass(frozen=True, slots=True)
class Embedding:
    """What the sentence-transformers files of a checkpoint say.

    Attributes:
        pooling: None where the checkpoint brings none.
        prompts: texts to put in front, by name.
        default_prompt: the prompt's name when a request names none.
        max_length: tokens to read, or None.
    """

    pooling: Pooling | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    max_length: int | None = None


def read_embedding(checkpoint: Checkpoint) -> Embedding:
    """Read `modules.json` and what it names; a configured pooling goes first.

    Raises:
        LoadError: the files ask for a module that is not served (a dense layer, another way of pooling).
    """
    configured = checkpoint.config.pooling
    pooling = configured or _pooling(checkpoint)
    settings = _read(checkpoint, "config_sentence_transformers.json") or {}
    lengths = _read(checkpoint, "sentence_bert_config.json") or {}
    return Embedding(
        pooling=None if pooling is None or pooling.mode == "none" else pooling,
        prompts=settings.get("prompts") or {},
        default_prompt=settings.get("default_prompt_name"),
        max_length=lengths.get("max_seq_length"),
    )


def pool(hidden: "Tensor", lengths: Sequence[int], mode: str) -> "Tensor":
    """Hidden states `[rows, positions, dim]` to vectors `[rows, dim]`, in a few calls for all rows together.

    Args:
        hidden: positions at and after a row's length are padding and never read.
        lengths: of each row, in positions.
        mode: `mean`, `cls` (the first position) or `last`.
    """
    import numpy as np
    import torch

    if mode == "cls":
        return hidden[:, 0]
    starts = np.arange(len(lengths)) * hidden.shape[1]
    positions = hidden.reshape(-1, hidden.shape[-1])
    if mode == "last":
        ends = torch.from_numpy(starts + np.asarray(lengths) - 1)
        return positions[ends.to(hidden.device)]
    # A bag for each row: reads its own positions and nothing else. Zeros for padding took eight times as long.
    real = np.concatenate([np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)])
    bags = np.cumsum([0, *lengths[:-1]])
    return torch.nn.functional.embedding_bag(
        torch.from_numpy(real).to(hidden.device),
        positions.float(),
        torch.from_numpy(bags).to(hidden.device),
        mode="mean",
    )


def _pooling(checkpoint: Checkpoint) -> Pooling | None:
    modules = _read(checkpoint, "modules.json")
    if modules is None:
        return None
    kinds = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in modules}
    unknown = set(kinds) - {"Transformer", "Pooling", "Normalize"}
    if unknown:
        raise LoadError(
            f"{checkpoint.config.model}: modules.json asks for {', '.join(sorted(unknown))}, which is not served; "
            "set `pooling` in the configuration to answer without it"
        )
    if "Pooling" not in kinds:
        return None
    settings = _read(checkpoint, f"{kinds['Pooling']}/config.json") or {}
    modes = [mode for key, mode in _MODES.items() if settings.get(key)]
    others = [key for key, on in settings.items() if key.startswith("pooling_mode_") and on and key not in _MODES]
    if len(modes) != 1 or others:
        raise LoadError(f"{checkpoint.config.model}: pooling by {modes + others} is not served; set `pooling`")
    return Pooling.model_validate({"mode": modes[0], "normalize": "Normalize" in kinds})


def _read(checkpoint: Checkpoint, name: str) -> Any:
    path = find_file(checkpoint.config.model, name, checkpoint.config.revision)
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))


class VectorOptions(RequestBody):
    """The options of a request, beside its inputs."""

    normalize: bool | None = Field(default=None, description="Vectors of length one; default: as the checkpoint says.")
    dimensions: int | None = Field(default=None, ge=1, description="Only the first so many, normalised again.")
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64: each vector as little-endian float32 bytes."
    )

    def check(self, width: int | None, pooling: Pooling | None) -> None:
        """Refuse what a model's vectors cannot be, as far as it is known before the model has run.

        Raises:
            InvalidInput: `dimensions` of hidden states, or more of them than `width`, where that is known.
        """
        if self.dimensions is None:
            return
        if pooling is None or pooling.mode == "none":
            raise InvalidInput("dimensions applies to pooled vectors; this model answers with hidden states")
        if width is not None and self.dimensions > width:
            raise InvalidInput(f"dimensions is {self.dimensions}; the model's vectors have {width}")

    def finish(self, vector: "np.ndarray[Any, Any]", pooling: Pooling | None) -> Any:
        """A vector `[dim]`, hidden states `[places, dim]` or maps `[dim, rows, columns]` as asked for, or as base64.

        Raises:
            InvalidInput: `dimensions` above the vector's own, or maps of length one.
        """
        self.check(vector.shape[-1], pooling)
        vector = vector[..., : self.dimensions]
        if (pooling is not None and pooling.normalize) if self.normalize is None else self.normalize:
            if vector.ndim > 2:
                raise InvalidInput("normalize applies to vectors; this model answers with maps, [dim][rows][columns]")
            vector = _unit(vector)
        if self.encoding_format == "base64":
            return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
        return vector


def configured_pooling(config: ModelConfig) -> Pooling | None:
    """How a model without files about it pools: as configured, else not at all."""
    return None if config.pooling is None or config.pooling.mode == "none" else config.pooling


def join_vectors(answers: list[Any], *, is_list: bool, pooled: bool) -> Any:
    """`[inputs][dim]` of a pooled model, also for a single input; else one input's hidden states, or a list of them."""
    return answers if is_list or pooled else answers[0]


def _unit(vectors: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Length one over the last dimension; a zero vector stays zero."""
    import numpy as np

    unit: np.ndarray[Any, Any] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
