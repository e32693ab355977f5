"""How to call a generating model, read from the model itself: the signatures of its forward and of its decoder.

Nothing here knows a model by name. The result may still be wrong for a model; `check.py` finds out by running it.
"""

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.checkpoints.facts import position_offset

if TYPE_CHECKING:
    import torch

LIMITS = ("max_target_positions", "max_position_embeddings")  # keys of a decoder's configuration


@dataclass(frozen=True, slots=True)
class Family:
    """How to call one model.

    Attributes:
        has_encoder: inputs go to an encoder, and a decoder prompt starts the answer.
        positions: name of the argument that takes every row's positions; None if there is none.
        table: for decoders that count positions themselves; None for others.
        takes_logits_to_keep: the forward has `logits_to_keep` and computes no other logits.
        max_positions: tokens that the decoder has positions for; None if there is no limit.
        first_position: the value of `positions` for a row's first token.
        additive_mask: a step's attention mask is added to scores, `[rows, 1, 1, columns]`, for models that would
            prepend columns of their own to a plain mask (GIT: its image).
    """

    has_encoder: bool
    positions: str | None
    table: "PositionTable | None"
    takes_logits_to_keep: bool
    max_positions: int | None
    first_position: int = 0
    additive_mask: bool = False

    def position_arguments(self, positions: "torch.Tensor") -> dict[str, Any]:
        """Arguments for the positions of tokens, `[rows, tokens]`; sets them in the table as well."""
        if self.table is not None:
            self.table.positions = positions
        return {self.positions: positions + self.first_position} if self.positions else {}

    def mask_arguments(self, mask: "torch.Tensor", dtype: "torch.dtype") -> dict[str, Any]:
        """The attention mask of a step; `mask` is `[rows, columns]`, `dtype` the model's own."""
        if not self.additive_mask:
            return {self.mask_name: mask}
        import torch

        additive = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        return {self.mask_name: additive.masked_fill_(mask == 0, torch.finfo(dtype).min)[:, None, None]}

    @property
    def mask_name(self) -> str:
        return "decoder_attention_mask" if self.has_encoder else "attention_mask"

    @property
    def ids_name(self) -> str:
        return "decoder_input_ids" if self.has_encoder else "input_ids"


def family_of(model: "torch.nn.Module") -> Family:
    """Read how to call a generating model from its forward, its decoder and its configuration."""
    config: Any = model.config
    has_encoder = bool(config.is_encoder_decoder)
    accepted = inspect.signature(model.forward).parameters
    positions, first_position = _positions_argument(model, has_encoder)
    limit = max_positions_of(config)
    counting = None if positions else _counts_positions(decoder_of(model))
    return Family(
        has_encoder=has_encoder,
        positions=positions,
        table=PositionTable(counting, limit) if counting is not None and limit else None,
        takes_logits_to_keep="logits_to_keep" in accepted,
        max_positions=limit,
        first_position=first_position,
    )


def max_positions_of(config: Any) -> int | None:
    """Tokens that a model's decoder has positions for, by its configuration; None if not given there."""
    decoder = config.get_text_config(decoder=True)
    return next((int(getattr(decoder, name)) for name in LIMITS if getattr(decoder, name, None)), None)


def decoder_of(model: "torch.nn.Module") -> "torch.nn.Module":
    """The decoder; the whole model if it has no `get_decoder`."""
    get: Any = getattr(model, "get_decoder", None)
    return (get() if get else None) or model


def _positions_argument(model: "torch.nn.Module", has_encoder: bool) -> tuple[str | None, int]:
    """(name of the argument that takes positions, position of a row's first token)."""
    wanted = "decoder_position_ids" if has_encoder else "position_ids"
    if wanted in inspect.signature(model.forward).parameters:
        return wanted, 0
    # Composite models (VisionEncoderDecoder) pass every `decoder_…` on to their decoder.
    config: Any = model.config
    decoder = decoder_of(model)
    composite = has_encoder and hasattr(config, "encoder") and hasattr(config, "decoder")
    if composite and "position_ids" in inspect.signature(decoder.forward).parameters:
        return wanted, position_offset(decoder)
    return None, 0


def _counts_positions(decoder: "torch.nn.Module") -> "torch.nn.Module | None":
    """The module that turns the number of tokens in the cache into position embeddings, equal for every row."""
    for module in decoder.modules():
        # A module with children does more than that: BERT's embeds tokens as well.
        is_table = next(module.children(), None) is None
        if is_table and "past_key_values_length" in inspect.signature(module.forward).parameters:
            return module
    return None


class PositionTable:
    """Gives every row its own position embedding in decoders that count one position for the whole batch.

    Marian, BART, Pegasus, Speech2Text and others call a module with the number of tokens in the cache. The modules'
    signatures differ, but each is a table of positions; a forward hook looks up each row's own positions in it.

    Args:
        module: the decoder's module of positions.
        size: positions that it has.

    Attributes:
        positions: `[rows, tokens]` for one forward; None to let the model count.
    """

    def __init__(self, module: "torch.nn.Module", size: int) -> None:
        self.positions: torch.Tensor | None = None
        self._module: Any = module
        self._size = size
        self._table: torch.Tensor | None = None
        self._hook = module.register_forward_hook(self._look_up, with_kwargs=True)

    def remove(self) -> None:
        """Remove the hook from the model."""
        self._hook.remove()

    def _look_up(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], counted: Any) -> Any:
        if self.positions is None:
            return counted
        if self._table is None:
            self._table = self._tabulate(next(value for value in (*args, *kwargs.values()) if value is not None))
        positions, self.positions = self.positions, None
        return self._table[positions]

    def _tabulate(self, first: Any) -> "torch.Tensor":
        """`[positions, size]`; `first` is the module's first argument: a batch of ids, or its shape."""
        if isinstance(first, tuple):  # or torch.Size
            argument: Any = type(first)((1, self._size))
        else:
            # Not the padding token, to which some models give no position.
            token = (getattr(self._module, "padding_idx", None) or 0) + 1
            argument = first.new_full((1, self._size), token)
        embedded: torch.Tensor = self._module.forward(argument)
        return embedded.reshape(self._size, embedded.shape[-1])
