"""TokenHistory: the tokens of each row, for the options that depend on them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PADDING = 2**31 - 1  # beyond every vocabulary, so that clamping maps it to the spare column
_BLOCK = 64  # columns to grow by, so that most steps do not copy


class TokenHistory:
    """Token ids [rows, longest], aligned on the left, `PADDING` behind each row's last token.

    Rows whose options do not depend on tokens stay empty and cost no columns.
    """

    def __init__(self, device: "torch.device | str") -> None:
        import torch

        self.device = device
        self.lengths: list[int] = []
        self._tokens = torch.full((0, 0), PADDING, device=device)

    def admit(self, prompts: Sequence[Sequence[int]]) -> None:
        """Append a row for each prompt."""
        import torch

        self._widen(max((len(prompt) for prompt in prompts), default=0))
        width = self._tokens.shape[1]
        padded = [[*prompt, *[PADDING] * (width - len(prompt))] for prompt in prompts]
        new = torch.tensor(padded, dtype=torch.long, device=self.device).view(len(prompts), width)
        self._tokens = torch.cat([self._tokens, new])
        self.lengths += [len(prompt) for prompt in prompts]

    def keep(self, indices: Sequence[int]) -> None:
        """Keep these rows in this order; drop columns that none of them needs."""
        import torch

        self.lengths = [self.lengths[index] for index in indices]
        rows = torch.tensor(indices, dtype=torch.long, device=self.device)
        self._tokens = self._tokens[:, : max(self.lengths, default=0)].index_select(0, rows)

    def append(self, rows: Sequence[int], tokens: "Tensor") -> None:
        """Append a token to each of these rows; `tokens` is [rows]."""
        import torch

        ends = [self.lengths[row] for row in rows]
        self._widen(max(ends) + 1)
        self._tokens[torch.tensor(rows, device=self.device), torch.tensor(ends, device=self.device)] = tokens
        for row in rows:
            self.lengths[row] += 1

    def ids(self, rows: Sequence[int]) -> "Tensor":
        """Token ids [rows, longest of them], padded."""
        import torch

        longest = max(self.lengths[row] for row in rows)
        index = torch.tensor(rows, device=self.device)
        return self._tokens[:, :longest].index_select(0, index)

    def endings(self, rows: Sequence[int], size: int) -> "Tensor":
        """The last tokens [rows, size] of each row; -1 where a row is shorter."""
        import torch

        ends = torch.tensor([self.lengths[row] for row in rows], device=self.device)
        columns = ends[:, None] + torch.arange(-size, 0, device=self.device)
        index = torch.tensor(rows, device=self.device)[:, None]
        endings = self._tokens[index, columns.clamp(min=0)]
        return endings.masked_fill(columns < 0, -1)

    def _widen(self, width: int) -> None:
        """Make room for at least `width` tokens per row."""
        import torch

        if width > self._tokens.shape[1]:
            new_columns = width + _BLOCK - self._tokens.shape[1]
            self._tokens = torch.nn.functional.pad(self._tokens, (0, new_columns), value=PADDING)
