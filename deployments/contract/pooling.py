"""Pooling of hidden states to one vector, configured by the checkpoint's sentence-transformers files."""

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
    """The settings in the sentence-transformers files of a checkpoint.

    Attributes:
        pooling: None if the checkpoint has none.
        prompts: texts to prepend, by name.
        default_prompt: name of the prompt for requests that name none.
        max_length: maximum number of tokens, or None.
    """

    pooling: Pooling | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    max_length: int | None = None


def read_embedding(checkpoint: Checkpoint) -> Embedding:
    """Read `modules.json` and the files that it names; a configured pooling takes precedence.

    Raises:
        LoadError: the files require an unsupported module (a dense layer, another pooling mode).
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
    """Pool hidden states `[rows, positions, dim]` to vectors `[rows, dim]`, in a few operations for all rows.

    Args:
        hidden: hidden states; positions beyond a row's length are padding and ignored.
        lengths: length of each row, in positions.
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
    # One bag per row reads only the row's own positions. Multiplying padding by zero took eight times as long.
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
            f"{checkpoint.config.model}: modules.json requires {', '.join(sorted(unknown))}, which is not supported; "
            "set `pooling` in the configuration to serve the model without it"
        )
    if "Pooling" not in kinds:
        return None
    settings = _read(checkpoint, f"{kinds['Pooling']}/config.json") or {}
    modes = [mode for key, mode in _MODES.items() if settings.get(key)]
    others = [key for key, on in settings.items() if key.startswith("pooling_mode_") and on and key not in _MODES]
    if len(modes) != 1 or others:
        raise LoadError(f"{checkpoint.config.model}: pooling by {modes + others} is not supported; set `pooling`")
    return Pooling.model_validate({"mode": modes[0], "normalize": "Normalize" in kinds})


def _read(checkpoint: Checkpoint, name: str) -> Any:
    path = find_file(checkpoint.config.model, name, checkpoint.config.revision)
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))


class VectorOptions(RequestBody):
    """Output options of a feature-extraction request."""

    normalize: bool | None = Field(
        default=None, description="Scale vectors to length 1; default: as in the checkpoint."
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="Return only the first dimensions of each vector; normalization follows."
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64: each vector as little-endian float32 bytes."
    )

    def check(self, width: int | None, pooling: Pooling | None) -> None:
        """Check `dimensions` against the model, as far as possible before it has run.

        Raises:
            InvalidInput: the model returns hidden states, or `dimensions` is above `width` (None: unknown).
        """
        if self.dimensions is None:
            return
        if pooling is None or pooling.mode == "none":
            raise InvalidInput("dimensions applies to pooled vectors; this model returns hidden states")
        if width is not None and self.dimensions > width:
            raise InvalidInput(f"dimensions is {self.dimensions}; the model's vectors have {width}")

    def finish(self, vector: "np.ndarray[Any, Any]", pooling: Pooling | None) -> Any:
        """Apply the options to a vector `[dim]`, hidden states `[positions, dim]` or maps `[dim, rows, columns]`.

        Raises:
            InvalidInput: `dimensions` is above the vector's own, or `normalize` is set for maps.
        """
        self.check(vector.shape[-1], pooling)
        vector = vector[..., : self.dimensions]
        if (pooling is not None and pooling.normalize) if self.normalize is None else self.normalize:
            if vector.ndim > 2:
                raise InvalidInput("normalize applies to vectors; this model returns maps, [dim][rows][columns]")
            vector = _unit(vector)
        if self.encoding_format == "base64":
            return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
        return vector


def configured_pooling(config: ModelConfig) -> Pooling | None:
    """The pooling of a model without sentence-transformers files: as configured, else none."""
    return None if config.pooling is None or config.pooling.mode == "none" else config.pooling


def join_vectors(answers: list[Any], *, is_list: bool, pooled: bool) -> Any:
    """With pooling `[inputs][dim]`, also for a single input; without, hidden states of an input or a list of them."""
    return answers if is_list or pooled else answers[0]


def _unit(vectors: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Normalize over the last dimension; a zero vector stays zero."""
    import numpy as np

    unit: np.ndarray[Any, Any] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
