"""Attention of a pack in an exported graph: what it reads is gathered to a padded rectangle, and back.

torch calls its attention once per text. A graph has no loop over texts; its one call for all of them reads rows in
which short texts stand side by side, kept apart by a mask. With a row for each text, batches of 256 to 512 tokens took
5 to 9 % longer than in torch; with shared rows they take up to 10 % less.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from deployments.layouts.packing import InstalledAttention

if TYPE_CHECKING:
    from torch import Tensor

PACK = ("pack_into", "pack_back", "pack_mask")

SHORTEST_ROW = 48  # positions of a rectangle's row; many short rows cost more than a few with several texts


class RectangularAttention(InstalledAttention):
    """One call of attention for all texts. No operation depends on their number, so a graph holds for any pack."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._shared_heads = any(getattr(module, "num_key_value_groups", 1) != 1 for module in model.modules())

    @contextmanager
    def of(self, places: "Mapping[str, Tensor]") -> Iterator[None]:
        """Within this context, the forward's row is a pack with these `rectangle` arrays."""
        self._places = places
        with self.installed():
            yield

    def attend(
        self, query: "Tensor", key: "Tensor", value: "Tensor", scaling: float | None, causal: bool, window: int | None
    ) -> "Tensor":
        import torch

        into, back, allowed = (self._places[name] for name in PACK)
        count, width = into.shape[0], into.shape[1]

        def padded(states: "Tensor") -> "Tensor":
            rows = states[0].transpose(0, 1).index_select(0, into.reshape(-1))
            return rows.reshape(count, width, states.shape[1], states.shape[3]).transpose(1, 2)

        mask = allowed[:, None]
        if causal or window is not None:
            place = torch.arange(width, device=query.device)
            distance = place[:, None] - place[None]
            if window is not None:
                mask = mask & (distance.abs() < window)[None, None]
            if causal:
                mask = mask & (distance >= 0)[None, None]
        attended = torch.nn.functional.scaled_dot_product_attention(
            padded(query), padded(key), padded(value), attn_mask=mask, scale=scaling, enable_gqa=self._shared_heads
        )
        flat = attended.transpose(1, 2).reshape(-1, attended.shape[1], attended.shape[3])
        return flat.index_select(0, back)[None]


def rectangle(lengths: Sequence[int], attended: Sequence[int]) -> dict[str, Any]:
    """How the tokens of a pack become a rectangle for attention, as wide as the longest text; short texts share a row.

    Returns:
        `pack_into` `[rows, width]`, indices of tokens; `pack_back` `[tokens]`, indices into the flattened rectangle;
        `pack_mask` `[rows, width, width]`, which positions attend to which.
    """
    import numpy as np

    width = max(SHORTEST_ROW, *lengths)
    rows = _rows_of(lengths, width)
    into = np.zeros((len(rows), width), np.int64)
    mask = np.zeros((len(rows), width, width), np.bool_)
    starts = np.cumsum([0, *lengths])
    back = np.empty(starts[-1], np.int64)
    for index, texts in enumerate(rows):
        place = 0
        for text in texts:
            start, length = starts[text], lengths[text]
            end = place + length
            into[index, place:end] = np.arange(start, start + length)
            back[start : start + length] = np.arange(index * width + place, index * width + end)
            mask[index, place:end, place : place + attended[text]] = True
            place = end
        mask[index, place:, :1] = True  # a position that attends to none would be NaN
    return dict(zip(PACK, (into, back, mask), strict=True))


def _rows_of(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Texts by row, the longest first, each in the first row with room for it (first fit decreasing)."""
    rows: list[list[int]] = []
    room: list[int] = []
    for text in sorted(range(len(lengths)), key=lambda text: -lengths[text]):
        row = next((row for row, left in enumerate(room) if left >= lengths[text]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(width)
        rows[row].append(text)
        room[row] -= lengths[text]
    return rows
