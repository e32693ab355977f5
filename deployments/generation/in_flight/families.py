"""What differs between model families, read from the model itself: the signatures of its forward and of its decoder.

Nothing here knows a model by name. What was read may still be wrong for a model; `mode` finds that out by running it.
"""

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.layouts.packing import position_offset

if TYPE_CHECKING:
    import torch

LIMITS = ("max_target_positions", "max_position_embeddings")  # in a decoder's configuration: how far it can count


@dataclass(frozen=True, slots=True)
class Family:
    """How one model wants to be called.

    Attributes:
        has_encoder: the prompt goes to an encoder, and a decoder prompt starts the answer.
        positions: the argument that takes every row's positions; None if none does.
        table: for decoders that count their positions themselves; None for others.
        first_position: of a row's first token, in what `positions` takes.
        ready_mask: a step gets its attention mask as what is added to scores, `[rows, 1, 1, columns]`, for models that
            would put something of their own in front of a plain one (GIT: its image).
        takes_keep: the forward computes logits only where it is asked to (`logits_to_keep`).
        max_positions: tokens that the decoder can count; None if there is no such limit.
    """

    has_encoder: bool
    positions: str | None
    table: "PositionTable | None"
    takes_keep: bool
    max_positions: int | None
    first_position: int = 0
    ready_mask: bool = False

    def of_positions(self, positions: "torch.Tensor") -> dict[str, Any]:
        """Arguments that place tokens, `[rows, tokens]`; a table is told as well."""
        if self.table is not None:
            self.table.positions = positions
        return {self.positions: positions + self.first_position} if self.positions else {}

    def of_mask(self, mask: "torch.Tensor", dtype: "torch.dtype") -> dict[str, Any]:
        """The argument that says which columns a step sees; `mask` is `[rows, columns]`, `dtype` the model's own."""
        if not self.ready_mask:
            return {self.mask_name: mask}
        import torch

        added = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        return {self.mask_name: added.masked_fill_(mask == 0, torch.finfo(dtype).min)[:, None, None]}

    @property
    def mask_name(self) -> str:
        return "decoder_attention_mask" if self.has_encoder else "attention_mask"

    @property
    def ids_name(self) -> str:
        return "decoder_input_ids" if self.has_encoder else "input_ids"


def family_of(model: "torch.nn.Module") -> Family:
    """Read a generating model's family from its forward, its decoder and its configuration."""
    config: Any = model.config
    has_encoder = bool(config.is_encoder_decoder)
    accepted = inspect.signature(model.forward).parameters
    positions, first_position = _positions_argument(model, has_encoder)
    limit = most_positions(config)
    counting = None if positions else _counts_positions(decoder_of(model))
    return Family(
        has_encoder=has_encoder,
        positions=positions,
        table=PositionTable(counting, limit) if counting is not None and limit else None,
        takes_keep="logits_to_keep" in accepted,
        max_positions=limit,
        first_position=first_position,
    )


def most_positions(config: Any) -> int | None:
    """Tokens that a model's decoder can count, by its configuration; None if it says nothing."""
    decoder = config.get_text_config(decoder=True)
    return next((int(getattr(decoder, name)) for name in LIMITS if getattr(decoder, name, None)), None)


def decoder_of(model: "torch.nn.Module") -> "torch.nn.Module":
    """The part that writes; the whole model where it has no other."""
    get: Any = getattr(model, "get_decoder", None)
    return (get() if get else None) or model


def _positions_argument(model: "torch.nn.Module", has_encoder: bool) -> tuple[str | None, int]:
    """(name of the argument that takes positions, position of a row's first token)."""
    wanted = "decoder_position_ids" if has_encoder else "position_ids"
    if wanted in inspect.signature(model.forward).parameters:
        return wanted, 0
    # Models put together of two (VisionEncoderDecoder) hand every `decoder_…` on to the second.
    config: Any = model.config
    decoder = decoder_of(model)
    composite = has_encoder and hasattr(config, "encoder") and hasattr(config, "decoder")
    if composite and "position_ids" in inspect.signature(decoder.forward).parameters:
        return wanted, position_offset(decoder)
    return None, 0


def _counts_positions(decoder: "torch.nn.Module") -> "torch.nn.Module | None":
    """The module that turns "so many tokens in the cache" into position embeddings, the same for every row."""
    for module in decoder.modules():
        # One with modules of its own does more than that: it embeds words, too (BERT).
        is_table = next(module.children(), None) is None
        if is_table and "past_key_values_length" in inspect.signature(module.forward).parameters:
            return module
    return None


class PositionTable:
    """Gives every row its own position embedding in decoders that count one position for the whole batch.

    Marian, BART, Pegasus, Speech2Text and others call a module with the number of tokens in the cache. Their modules
    differ in what they take and give, but each is a table of positions; a hook looks the rows' own positions up in it.

    Args:
        module: the decoder's module of positions.
        size: positions that it has.
    """

    def __init__(self, module: "torch.nn.Module", size: int) -> None:
        self.positions: torch.Tensor | None = None  # [rows, tokens] for one forward; None: as the model counts
        self._module: Any = module
        self._size = size
        self._table: torch.Tensor | None = None
        self._hook = module.register_forward_hook(self._look_up, with_kwargs=True)

    def remove(self) -> None:
        """Leave the model as it was found."""
        self._hook.remove()

    def _look_up(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], counted: Any) -> Any:
        if self.positions is None:
            return counted
        if self._table is None:
            self._table = self._tabulate(next(value for value in (*args, *kwargs.values()) if value is not None))
        positions, self.positions = self.positions, None
        return self._table[positions]

    def _tabulate(self, first: Any) -> "torch.Tensor":
        """`[positions, size]`; `first` is what the model gives the module first: a batch of ids, or its shape."""
        if isinstance(first, tuple):  # torch.Size, too
            asked: Any = type(first)((1, self._size))
        else:
            # No padding: some count it as no position at all.
            word = (getattr(self._module, "padding_idx", None) or 0) + 1
            asked = first.new_full((1, self._size), word)
        embedded: torch.Tensor = self._module.forward(asked)
        return embedded.reshape(self._size, embedded.shape[-1])
