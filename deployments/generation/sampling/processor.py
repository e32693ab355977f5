"""What every logits processor of the sampler is: one option, for the rows of a step that use it.

Scores are [rows, vocabulary + 1], float32, changed in place. The last column is a spare one: it is -inf before and
after, and takes what is written for filling and for tokens that the model has no logit for.
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
        row: of the scores.
        place: of the sampler, in whose `TokenHistory` its tokens are.
        state: its options and how far it has come.
    """

    row: int
    place: int
    state: RowState


class Processor(ABC):
    """One option.

    Args:
        users: rows that use it, at least one; the others pay nothing.
        past: the tokens behind each row of the sampler.
        vocabulary: the number of tokens, and with it the spare column.
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
        """Whether a row uses this option."""

    @abstractmethod
    def __call__(self, scores: "Tensor") -> None:
        """Change the scores of its users' rows."""

    def integers(self, values: Sequence[int] | Sequence[tuple[int, ...]]) -> "Tensor":
        """Indices or token ids, where the scores are."""
        import torch

        return torch.tensor(values, dtype=torch.long, device=self.history.device)

    def column(self, values: Sequence[float]) -> "Tensor":
        """A value for each user, [users, 1], float32."""
        import torch

        return torch.tensor(values, dtype=torch.float32, device=self.history.device)[:, None]

    def ids(self) -> "Tensor":
        """Tokens behind its users [users, longest]; the spare column for filling and for tokens past it."""
        return self.history.ids(self.places).clamp_(max=self.vocabulary)
