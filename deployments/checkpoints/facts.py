"""What tasks and layouts ask of a model's code, beside its configuration: of a torch model, or of one whose forwards
were exported, in a process without torch."""

import inspect
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deployments.errors import LoadError

_MANY = 1_000_000  # positions, a minute of samples; some models count in float32


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames that an encoder makes of positions: `(positions + offset) // stride`.

    Encoders shorten a recording by convolutions, each of which makes `(n - kernel) // step + 1` of n; several in a row
    are one division again.
    """

    stride: int
    offset: int

    @classmethod
    def of(cls, count: Callable[[int], int]) -> "Frames":
        """The division that a model's own count is.

        Raises:
            LoadError: it is none.
        """
        fourth, fifth = (bisect_left(range(_MANY), frames, key=count) for frames in (4, 5))
        stride = max(1, fifth - fourth)
        frames = cls(stride, 4 * stride - fourth)
        probes = [*range(1, 9 * stride, max(1, stride // 7)), *range(fourth - 2, fourth + 3), *range(9000, _MANY, 9973)]
        if any(max(0, frames(positions)) != max(0, count(positions)) for positions in probes):
            raise LoadError("the model's number of frames is no division of its number of positions")
        return frames

    def __call__(self, positions: int) -> int:
        return (positions + self.offset) // self.stride


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of a model.

    Attributes:
        class_name: of the model in transformers.
        main_input: name of the main input.
        inputs: names of the parameters of its forward.
        embeddings: number of tokens that it has input embeddings for; None if it reads no tokens.
        position_offset: the position id of a text's first token.
        weight_bytes: bytes of weights and buffers; shared memory is counted once.
        frames: frames by positions; None if it makes none, or in torch, where the model itself is asked.
    """

    class_name: str
    main_input: str
    inputs: tuple[str, ...]
    embeddings: int | None
    position_offset: int
    weight_bytes: int
    frames: Frames | None = None


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """Stands for a model whose forwards were exported.

    Attributes:
        config: transformers' configuration of the model.
        facts: as of the model in torch.
        generation_config: transformers' defaults of a model that generates.
    """

    config: Any
    facts: ModelFacts
    generation_config: Any = None


def facts_of(model: Any) -> ModelFacts:
    """The facts of a model: of torch's, or of an exported one."""
    if isinstance(model, ExportedModel):
        return model.facts
    return ModelFacts(
        class_name=type(model).__name__,
        main_input=getattr(model, "main_input_name", "input_ids"),
        inputs=tuple(inspect.signature(model.forward).parameters),
        embeddings=_embeddings(model),
        position_offset=position_offset(model),
        weight_bytes=_weight_bytes(model),
    )


def _embeddings(model: Any) -> int | None:
    try:
        return int(model.get_input_embeddings().num_embeddings)
    except (AttributeError, NotImplementedError):  # of a model for images or sound, or of one tower
        return None


def position_offset(model: Any) -> int:
    """The position id of a text's first token; RoBERTa and related models count from after the padding index."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def _weight_bytes(model: Any) -> int:
    tensors = {tensor.data_ptr(): tensor for tensor in (*model.parameters(), *model.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
