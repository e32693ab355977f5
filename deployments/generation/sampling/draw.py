"""Draw: samples a token for each row with `do_sample`, from its processed scores.

The method is Gumbel-max: noise is added to the score of every candidate, and the highest wins. It is exact and robust
to rounding: a neighbour that changes the last bits of a row's logits changes its token about as rarely as it changes
the distribution, while inverting the cumulative sum shifts every boundary behind the change.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deployments.generation.sampling import counter_rng
from deployments.generation.sampling.filters import Filters, cuts
from deployments.generation.sampling.processor import User

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Numbers of candidates that are tried before all tokens are sorted. Fixed, so that a row's candidates never depend on
# its neighbours' options.
WIDTHS = (128, 1024)


class Draw:
    """Samples the rows of a step that have `do_sample`.

    Args:
        users: those rows, at least one.
        device: of the scores.
    """

    def __init__(self, users: Sequence[User], device: "torch.device | str") -> None:
        self.device = device
        self.whole = [user for user in users if not cuts(user.state.params)]
        self.cut = [user for user in users if cuts(user.state.params)]
        self.whole_filters = Filters.of([user.state.params for user in self.whole], device)
        self.cut_filters = Filters.of([user.state.params for user in self.cut], device)

    def __call__(self, scores: "Tensor", best: "Tensor", tokens: "Tensor") -> None:
        """Write the token of each of its rows into `tokens`.

        Args:
            scores: [rows, vocabulary + 1], the last column -inf.
            best: the highest of each row, [rows].
            tokens: int64, [rows].
        """
        if self.whole:
            self._from_all(scores, tokens)
        if self.cut:
            self._from_likeliest(scores, best, tokens)

    def _from_all(self, scores: "Tensor", tokens: "Tensor") -> None:
        """Rows without top-k, top-p and min-p: nothing is sorted, except for typical sampling."""
        import torch

        rows = self._tensor([user.row for user in self.whole])
        noisy = counter_rng.gumbel(torch.arange(scores.shape[1], device=self.device), self._keys(self.whole))
        noisy.add_(scores[rows])
        typical = [i for i, user in enumerate(self.whole) if user.state.params.typical_p < 1]
        if typical:
            values = scores[rows[typical]]
            kept = self.whole_filters.pick(typical).typical(values, values > float("-inf"))
            noisy[typical] = noisy[typical].masked_fill_(~kept, float("-inf"))
        tokens[rows] = noisy.argmax(-1)

    def _from_likeliest(self, scores: "Tensor", best: "Tensor", tokens: "Tensor") -> None:
        """Try more and more candidates for fewer and fewer rows, until each has all that its filters keep."""
        keys = self._keys(self.cut)
        mass = self._mass(scores, best)
        waiting = list(range(len(self.cut)))
        for width in (*WIDTHS, scores.shape[1]):
            everything = width >= scores.shape[1]
            trying = [i for i in waiting if everything or self.cut[i].state.params.top_k < width]
            if not trying:
                continue
            rows = self._tensor([self.cut[i].row for i in trying])
            filters = self.cut_filters if len(trying) == len(self.cut) else self.cut_filters.pick(trying)
            values, ids = _top_tokens(scores[rows], width)
            kept = filters.leading(values, mass[trying])
            # If even the last candidate is kept, there may be more.
            unsure = set() if everything else {i for i, more in zip(trying, kept[:, -1].tolist(), strict=True) if more}
            if any(self.cut[i].state.params.typical_p < 1 for i in trying):
                kept = filters.typical(values, kept)
            noisy = (counter_rng.gumbel(ids, keys[trying]) + values).masked_fill_(~kept, float("-inf"))
            tokens[rows] = ids.gather(1, noisy.argmax(-1, keepdim=True))[
                :, 0
            ]  # those of unsure rows are overwritten later
            waiting = [i for i in waiting if i not in trying or i in unsure]
            if everything:
                return

    def _mass(self, scores: "Tensor", best: "Tensor") -> "Tensor":
        """Sum of exp(score - best) over all tokens, [cut rows, 1], of rows whose top-p needs it; inf for others."""
        mass = scores.new_full((len(self.cut), 1), float("inf"))
        needed = [i for i, user in enumerate(self.cut) if _needs_mass(user)]
        if needed:
            rows = self._tensor([self.cut[i].row for i in needed])
            mass[needed] = (scores[rows] - best[rows, None]).exp_().sum(-1, keepdim=True)
        return mass

    def _keys(self, users: Sequence[User]) -> "Tensor":
        return self._tensor([counter_rng.key(user.state.seed, user.state.generated) for user in users])[:, None]

    def _tensor(self, values: Sequence[int]) -> "Tensor":
        import torch

        return torch.tensor(values, dtype=torch.long, device=self.device)


def _needs_mass(user: User) -> bool:
    return user.state.params.top_k == 0 and user.state.params.top_p < 1


def _top_tokens(scores: "Tensor", width: int) -> "tuple[Tensor, Tensor]":
    """The `width` best scores of each row with their tokens, the best first."""
    if width >= scores.shape[1]:
        values, ids = scores.sort(stable=True, dim=-1, descending=True)
    else:
        values, ids = scores.topk(width)
    return values, ids
