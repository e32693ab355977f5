"""Which logits processors run before a token is sampled, and in which order.

Each is one of transformers' logits processors (5.23, `generation/logits_process.py`), or OpenAI's penalties, with its
own values for every row. The order is that of `GenerationMixin._get_logits_processor`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deployments.generation.sampling.fixed_tokens import (
    BadTokens,
    ForcedBeginning,
    ForcedEnd,
    MinNewTokens,
    Suppressed,
    SuppressedAtBeginning,
)
from deployments.generation.sampling.history import TokenHistory
from deployments.generation.sampling.penalties import BadPhrases, GeneratedPenalty, NoRepeatNgrams, RepetitionPenalty
from deployments.generation.sampling.processor import Processor, User
from deployments.generation.sampling.row import RowState

if TYPE_CHECKING:
    from torch import Tensor


class CustomProcessors(Processor):
    """The rows' own processors, in a loop, since each takes one row."""

    @staticmethod
    def applies(state: RowState) -> bool:
        return state.processor is not None

    def __call__(self, scores: "Tensor") -> None:
        for user in self.users:
            assert user.state.processor is not None
            ids = self.history.ids([user.place])
            scores[user.row, :-1] = user.state.processor(ids, scores[user.row : user.row + 1, :-1])[0]


class Temperature(Processor):
    """`TemperatureLogitsWarper`, for rows with `do_sample`."""

    def __init__(self, users: Sequence[User], history: TokenHistory, vocabulary: int) -> None:
        super().__init__(users, history, vocabulary)
        self.temperature = self.column([user.state.params.temperature for user in users])

    @staticmethod
    def applies(state: RowState) -> bool:
        return state.params.do_sample and state.params.temperature != 1

    def __call__(self, scores: "Tensor") -> None:
        # Dividing the other rows by 1, in place, costs less than picking rows out and putting them back.
        divisor = scores.new_ones(len(scores), 1)
        divisor[self.index[:, 0]] = self.temperature
        scores.div_(divisor)


ORDER: tuple[type[Processor], ...] = (
    RepetitionPenalty,
    GeneratedPenalty,
    NoRepeatNgrams,
    BadTokens,
    BadPhrases,
    MinNewTokens,
    ForcedBeginning,
    ForcedEnd,
    Suppressed,
    SuppressedAtBeginning,
    CustomProcessors,
    Temperature,
)


def has_processors(state: RowState) -> bool:
    """Whether any processor applies to the row."""
    return any(kind.applies(state) for kind in ORDER)


def processors_for(users: Sequence[User], history: TokenHistory, vocabulary: int) -> list[Processor]:
    """The processors that these rows use, in order."""
    chosen = [(kind, [user for user in users if kind.applies(user.state)]) for kind in ORDER]
    return [kind(its_users, history, vocabulary) for kind, its_users in chosen if its_users]
