"""Cuts DeBERTa-v2's table of relative positions to the distances in a batch.

In every layer of every forward the model projects its whole table (512 positions in the published checkpoints), repeats
it for each row, multiplies every token with all of it, and then gathers the columns of the distances that occur: 39 in
a text of 20 tokens. The first DeBERTa (He et al. 2021, https://arxiv.org/abs/2006.03654) cuts its table beforehand
(transformers' `att_span`); this module does the same for v2. The same numbers are gathered, so outputs change only by
the rounding of a smaller matrix product (1e-6 in float32). The check at load compares them with the uncut model's.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class CutPositions:
    """Cuts the tables of a DeBERTa-v2 until removed. Other models are not changed."""

    def __init__(self, model: Any) -> None:
        from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Encoder

        encoders = [module for module in model.modules() if isinstance(module, DebertaV2Encoder)]
        self._cuts = [_Cut(encoder) for encoder in encoders if encoder.relative_attention]

    def remove(self) -> None:
        for cut in self._cuts:
            cut.remove()


class _Cut:
    """The cut of one encoder: when it computes a batch's positions, table and attention are set to their span."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self._attentions = [module for module in encoder.modules() if hasattr(module, "pos_ebd_size")]
        self._whole = self._span = self._attentions[0].pos_ebd_size
        self._spans: dict[int, int] = {}  # by batch length; reading the span from a GPU tensor would synchronize
        self._relative_positions, self._table = encoder.get_rel_pos, encoder.get_rel_embedding
        encoder.get_rel_pos, encoder.get_rel_embedding = self._positions_of_batch, self._cut_table

    def remove(self) -> None:
        del self._encoder.get_rel_pos, self._encoder.get_rel_embedding
        self._set_span(self._whole)

    def _positions_of_batch(self, *args: Any, **kwargs: Any) -> "Tensor":
        """Relative positions `[1, length, length]`; distances beyond half of `position_buckets` share buckets."""
        positions: Tensor = self._relative_positions(*args, **kwargs)
        length = positions.shape[-1]
        if length not in self._spans:
            self._spans[length] = min(self._whole, int(positions.abs().max()) + 1)
        self._set_span(self._spans[length])
        return positions

    def _cut_table(self) -> "Tensor":
        """Rows `[2 * span, width]` from the middle of the table, where distance 0 is."""
        table: Tensor = self._table()
        return table[self._whole - self._span : self._whole + self._span]

    def _set_span(self, span: int) -> None:
        self._span = span
        for attention in self._attentions:
            attention.pos_ebd_size = span
