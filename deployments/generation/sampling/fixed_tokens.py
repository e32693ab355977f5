"""Processors that exclude or force a row's fixed tokens, at every step or at some."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deployments.generation.sampling.history import TokenHistory
from deployments.generation.sampling.processor import NEVER, Processor, User
from deployments.generation.sampling.row import RowState

if TYPE_CHECKING:
    from torch import Tensor


class FixedTokens(Processor):
    """Changes the scores of fixed tokens of each row. Their indices are cached until other rows are due."""

    def __init__(self, users: Sequence[User], history: TokenHistory, vocabulary: int) -> None:
        super().__init__(users, history, vocabulary)
        self._due: list[int] = []
        self._indices = (self.integers([]), self.integers([]))

    @staticmethod
    @abstractmethod
    def tokens(state: RowState) -> Sequence[int]:
        """Token ids; those outside the vocabulary are ignored."""

    @staticmethod
    def is_due(state: RowState) -> bool:
        """Whether it applies to the row's next token."""
        return True

    @abstractmethod
    def apply(self, scores: "Tensor", rows: list[int], indices: "tuple[Tensor, Tensor]") -> None:
        """Change the scores of these rows, or of their tokens at `indices` (rows and columns)."""

    def __call__(self, scores: "Tensor") -> None:
        users = [user for user in self.users if self.is_due(user.state)]
        rows = [user.row for user in users]
        if rows != self._due:
            pairs = [(user.row, token) for user in users for token in self.tokens(user.state)]
            indices = self.integers([pair for pair in pairs if pair[1] < self.vocabulary]).view(-1, 2)
            self._due, self._indices = rows, (indices[:, 0], indices[:, 1])
        if rows:
            self.apply(scores, rows, self._indices)


class Forbidden(FixedTokens):
    """Excludes tokens."""

    def apply(self, scores: "Tensor", rows: list[int], indices: "tuple[Tensor, Tensor]") -> None:
        scores[indices] = NEVER


class Forced(FixedTokens):
    """Excludes all other tokens: 0 for these and -inf for the others, as in transformers."""

    def apply(self, scores: "Tensor", rows: list[int], indices: "tuple[Tensor, Tensor]") -> None:
        scores[rows] = NEVER
        scores[indices] = 0


class BadTokens(Forbidden):
    """`NoBadWordsLogitsProcessor` for words of one token, except end tokens."""

    @staticmethod
    def applies(state: RowState) -> bool:
        return any(len(word) == 1 for word in state.params.bad_words)

    @staticmethod
    def tokens(state: RowState) -> Sequence[int]:
        ends = state.params.eos_token_ids
        return [word[0] for word in state.params.bad_words if len(word) == 1 and word[0] not in ends]


class MinNewTokens(Forbidden):
    """`MinNewTokensLengthLogitsProcessor`: no end token before `min_new_tokens`."""

    @staticmethod
    def applies(state: RowState) -> bool:
        return state.params.min_new_tokens > 0

    @staticmethod
    def tokens(state: RowState) -> Sequence[int]:
        return state.params.eos_token_ids

    @staticmethod
    def is_due(state: RowState) -> bool:
        return state.generated < state.params.min_new_tokens


class ForcedBeginning(Forced):
    """`ForcedBOSTokenLogitsProcessor`: the token after a decoder prompt of one token."""

    @staticmethod
    def applies(state: RowState) -> bool:
        return state.params.forced_bos_token_id is not None

    @staticmethod
    def tokens(state: RowState) -> Sequence[int]:
        token = state.params.forced_bos_token_id
        return () if token is None else (token,)

    @staticmethod
    def is_due(state: RowState) -> bool:
        return state.prompt_length + state.generated == 1


class ForcedEnd(Forced):
    """`ForcedEOSTokenLogitsProcessor`: the token at `max_new_tokens`."""

    @staticmethod
    def applies(state: RowState) -> bool:
        return bool(state.params.forced_eos_token_id)

    @staticmethod
    def tokens(state: RowState) -> Sequence[int]:
        return state.params.forced_eos_token_id

    @staticmethod
    def is_due(state: RowState) -> bool:
        return state.generated == state.params.max_new_tokens - 1


class Suppressed(Forbidden):
    """`SuppressTokensLogitsProcessor`."""

    @staticmethod
    def applies(state: RowState) -> bool:
        return bool(state.params.suppress_tokens)

    @staticmethod
    def tokens(state: RowState) -> Sequence[int]:
        return state.params.suppress_tokens


class SuppressedAtBeginning(Forbidden):
    """`SuppressTokensAtBeginLogitsProcessor`: at the first token, or at the second if the first is forced."""

    @staticmethod
    def applies(state: RowState) -> bool:
        return bool(state.params.begin_suppress_tokens)

    @staticmethod
    def tokens(state: RowState) -> Sequence[int]:
        return state.params.begin_suppress_tokens

    @staticmethod
    def is_due(state: RowState) -> bool:
        forced = state.params.forced_bos_token_id is not None and state.prompt_length <= 1
        return state.generated == (1 if forced else 0)
