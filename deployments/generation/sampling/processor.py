"""Processor: one sampling option, applied to the rows of a step that use it.

Scores are [rows, vocabulary + 1], float32, changed in place. The last column is spare: it is -inf before and after, and
takes the writes for padding and for tokens that the model has no logit for.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deployments.generation.sampling.history import TokenHistory
from deployments.generation.sampling.row import RowState

if TYPE_CHECKING:
    from torch import Tensor

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class User:
    """A row that uses an option.

    Attributes:
        row: its row in the scores.
        place: its row in the sampler and in the `TokenHistory`.
        state: its options and the number of its tokens.
    """

    row: int
    place: int
    state: RowState


class Processor(ABC):
    """A logits processor over the rows that use it; other rows cost nothing.

    Args:
        users: at least one.
        history: the tokens of each row of the sampler.
        vocabulary: the number of tokens, and the index of the spare column.
    """

    def __init__(self, users: Sequence[User], history: TokenHistory, vocabulary: int) -> None:
        self.users = users
        self.history = history
        self.vocabulary = vocabulary
        self.index = self.integers([user.row for user in users])[:, None]
        self.places = [user.place for user in users]

    @staticmethod
    @abstractmethod
    def applies(state: RowState) -> bool:
        """Whether a row uses this processor."""

    @abstractmethod
    def __call__(self, scores: "Tensor") -> None:
        """Change the scores of its users' rows."""

    def integers(self, values: Sequence[int] | Sequence[tuple[int, ...]]) -> "Tensor":
        """Indices or token ids, on the device of the scores."""
        import torch

        return torch.tensor(values, dtype=torch.long, device=self.history.device)

    def column(self, values: Sequence[float]) -> "Tensor":
        """A value for each user, [users, 1], float32."""
        import torch

        return torch.tensor(values, dtype=torch.float32, device=self.history.device)[:, None]

    def ids(self) -> "Tensor":
        """Tokens of its users [users, longest]; padding and tokens past the vocabulary become the spare column."""
        return self.history.ids(self.places).clamp_(max=self.vocabulary)
