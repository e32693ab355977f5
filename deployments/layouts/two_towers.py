"""The layout of a model with two towers, and each tower as a model of its own.

A model such as CLIP has an encoder for texts and one for images or recordings, and both give vectors of one space. A
row goes through one of them, so rows of both never share a forward: their `params` differ.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deployments.batching.selection import Selection
from deployments.config import Batching
from deployments.contract.task import Row
from deployments.layouts.text import Arrays, BatchOutput, Layout

if TYPE_CHECKING:
    import torch


class TwoTowersLayout(Layout):
    """A layout for the text tower and one for the other tower; its name is that of the text tower's.

    Rows of both towers are selected by the text tower's rule: the cost of an image or a recording must be in positions,
    as that of a text is, and its length is 1.

    Args:
        text: for rows that have `input_ids`.
        media: for all others.
    """

    def __init__(self, text: Layout, media: Layout) -> None:
        super().__init__(text.model, text.pad_token_id)
        self.name = text.name
        self._text = text
        self._media = media

    def attach(self) -> None:
        self._text.attach()
        self._media.attach()

    def detach(self) -> None:
        self._text.detach()
        self._media.detach()

    def arrays(self, rows: Sequence[Row]) -> Arrays:
        return self._of(rows).arrays(rows)

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        return self._of(rows).run(rows)

    def selection(self, batching: Batching, device: str) -> Selection:
        return self._text.selection(batching, device)

    def check_batches(self, rows: int) -> list[list[int]]:
        return self._text.check_batches(rows)

    def padding(self, lengths: Sequence[int]) -> float:
        return self._text.padding(lengths)

    def _of(self, rows: Sequence[Row]) -> Layout:
        return self._text if is_text(rows[0]) else self._media


def is_text(row: Row) -> bool:
    """Whether a row belongs to the text tower."""
    return "input_ids" in row.inputs


def tower(model: Any, method: str, base: Any) -> "torch.nn.Module":
    """One tower of a model as a module that layouts can call; its output is `[rows, dim]`.

    Args:
        model: a transformers model in eval mode.
        method: the model's own method for the tower's vectors, such as `get_text_features`.
        base: the tower within the model.
    """
    import torch

    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.base_model, self.config = model, base, model.config
            self.main_input_name = base.main_input_name

        def forward(self, **inputs: torch.Tensor) -> Any:
            return getattr(self.model, method)(**inputs).pooler_output

    return Tower().eval()
