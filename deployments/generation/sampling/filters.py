"""Which of a row's tokens may be sampled: top-k, top-p, min-p and typical sampling.

Each is transformers' warper of that name (5.23), with its own value for every row. The first three keep the likeliest
tokens up to some rank, so they need only the tokens up to there, sorted: if the last candidate is out, so are all
behind it. A full sort of 32 rows of 50,000 tokens costs thirty times as much as finding the best 128 of each.

Which of equal values at the boundary are kept depends on the sort, here as in transformers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deployments.generation.sampling.params import SamplingParams

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def cuts(params: SamplingParams) -> bool:
    """Whether a row is sampled from its likeliest tokens only."""
    return params.top_k > 0 or params.top_p < 1 or params.min_p > 0


@dataclass(frozen=True, slots=True)
class Filters:
    """The options of some rows, each [rows, 1]; float32, and int64 for `top_k`, where 0 is off."""

    top_k: "Tensor"
    top_p: "Tensor"
    min_p: "Tensor"
    typical_p: "Tensor"

    @classmethod
    def of(cls, params: Sequence[SamplingParams], device: "torch.device | str") -> "Filters":
        import torch

        def column(values: list[float]) -> "Tensor":
            return torch.tensor(values, dtype=torch.float32, device=device)[:, None]

        return cls(
            torch.tensor([row.top_k for row in params], device=device)[:, None],
            # A limit of 1 must let everything pass, also if rounding makes the sum exceed 1.
            column([row.top_p if row.top_p < 1 else 2 for row in params]),
            column([row.min_p for row in params]),
            column([row.typical_p if row.typical_p < 1 else 2 for row in params]),
        )

    def pick(self, rows: Sequence[int]) -> "Filters":
        """The options of these rows only."""
        return Filters(*(value[rows] for value in (self.top_k, self.top_p, self.min_p, self.typical_p)))

    def leading(self, best: "Tensor", mass: "Tensor") -> "Tensor":
        """Which tokens top-k, top-p and min-p keep, applied in this order; True up to some column.

        Args:
            best: scores [rows, candidates], the likeliest first.
            mass: sum of exp(score - best score) over *all* tokens of the row, [rows, 1].
        """
        import torch

        last = best.gather(1, self.top_k.clamp(1, best.shape[1]) - 1)
        kept = (best >= last) | (self.top_k == 0)
        weights = (best - best[:, :1]).exp_()
        within = weights * kept
        mass = torch.where(self.top_k == 0, mass, within.sum(-1, keepdim=True))
        above = within.cumsum(-1, dtype=torch.float64) - within
        kept &= above < self.top_p * mass
        kept[:, 0] = True
        return kept & (weights >= self.min_p) & (best > float("-inf"))

    def typical(self, scores: "Tensor", kept: "Tensor") -> "Tensor":
        """Which of the kept tokens typical sampling keeps: those whose surprise is nearest to the entropy.

        Args:
            scores: [rows, candidates], in any order.
            kept: by the other filters; all tokens that they keep must be among the candidates.
        """
        import torch

        logs = scores.masked_fill(~kept, float("-inf")).log_softmax(-1)
        surprise = (-logs - -(logs * logs.exp()).nansum(-1, keepdim=True)).abs()
        nearest, order = surprise.sort(-1)
        mass = logs.exp().gather(1, order).cumsum(-1)
        last = (mass < self.typical_p).sum(-1, keepdim=True).clamp_(max=scores.shape[1] - 1)
        out = nearest > nearest.gather(1, last)
        out[:, 0] = False
        return kept & ~torch.zeros_like(out).scatter_(1, order, out)
