"""Processors that depend on a row's tokens: repetition, counts, n-grams, and words of several tokens."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deployments.generation.sampling.history import TokenHistory
from deployments.generation.sampling.processor import NEVER, Processor, User
from deployments.generation.sampling.row import RowState

if TYPE_CHECKING:
    from torch import Tensor


class RepetitionPenalty(Processor):
    """`RepetitionPenaltyLogitsProcessor`: tokens of prompt and answer become less likely (Keskar et al. 2019, CTRL)."""

    def __init__(self, users: Sequence[User], history: TokenHistory, vocabulary: int) -> None:
        super().__init__(users, history, vocabulary)
        self.penalty = self.column([user.state.params.repetition_penalty for user in users])

    @staticmethod
    def applies(state: RowState) -> bool:
        return state.params.repetition_penalty != 1

    def __call__(self, scores: "Tensor") -> None:
        import torch

        ids = self.ids()
        before = scores[self.index, ids]
        # A token that occurs twice is written twice, with the same value.
        scores[self.index, ids] = torch.where(before < 0, before * self.penalty, before / self.penalty)


class GeneratedPenalty(Processor):
    """OpenAI's `frequency_penalty` and `presence_penalty`, of the tokens generated so far; transformers has neither."""

    def __init__(self, users: Sequence[User], history: TokenHistory, vocabulary: int) -> None:
        super().__init__(users, history, vocabulary)
        self.frequency = self.column([user.state.params.frequency_penalty for user in users])
        self.presence = self.column([user.state.params.presence_penalty for user in users])
        self.prompts = self.integers([user.state.prompt_length for user in users])[:, None]

    @staticmethod
    def applies(state: RowState) -> bool:
        return state.params.frequency_penalty != 0 or state.params.presence_penalty != 0

    def __call__(self, scores: "Tensor") -> None:
        import torch

        ids = self.ids()
        ids.masked_fill_(torch.arange(ids.shape[1], device=ids.device) < self.prompts, self.vocabulary)
        scores[self.index, ids] = scores[self.index, ids] - self.presence
        scores.index_put_((self.index, ids), -self.frequency.expand(ids.shape), accumulate=True)


class NoRepeatNgrams(Processor):
    """`NoRepeatNGramLogitsProcessor`: no token that has followed the row's last n - 1 tokens may follow them again.

    The loop is over the sizes in use, not over rows: all windows of a size are compared with their row's end at once.
    """

    def __init__(self, users: Sequence[User], history: TokenHistory, vocabulary: int) -> None:
        super().__init__(users, history, vocabulary)
        self.by_size: dict[int, list[User]] = defaultdict(list)
        for user in users:
            self.by_size[user.state.params.no_repeat_ngram_size].append(user)

    @staticmethod
    def applies(state: RowState) -> bool:
        return state.params.no_repeat_ngram_size > 0

    def __call__(self, scores: "Tensor") -> None:
        for size, users in self.by_size.items():
            places = [user.place for user in users]
            ids = self.history.ids(places)
            if ids.shape[1] < size:
                continue
            windows = ids.unfold(1, size, 1)
            same = (windows[..., :-1] == self.history.endings(places, size - 1)[:, None]).all(-1)
            # A window past its row's end closes with padding, which excludes the spare column.
            index = self.integers([user.row for user in users])[:, None]
            scores[index, windows[..., -1].where(same, self.vocabulary).clamp(max=self.vocabulary)] = NEVER


class BadPhrases(Processor):
    """`NoBadWordsLogitsProcessor` for words of several tokens: the last one may not follow the others.

    The loop is over word lengths, not over rows: words of one length are compared at once for all rows.
    """

    def __init__(self, users: Sequence[User], history: TokenHistory, vocabulary: int) -> None:
        super().__init__(users, history, vocabulary)
        by_length: dict[int, list[tuple[User, tuple[int, ...]]]] = defaultdict(list)
        for user in users:
            for word in user.state.params.bad_words:
                if len(word) > 1 and word[-1] < vocabulary:
                    by_length[len(word)].append((user, word))
        self.groups = [
            (
                self.integers([user.row for user, _ in group]),
                [user.place for user, _ in group],
                self.integers([word for _, word in group]),
            )
            for group in by_length.values()
        ]

    @staticmethod
    def applies(state: RowState) -> bool:
        return any(len(word) > 1 for word in state.params.bad_words)

    def __call__(self, scores: "Tensor") -> None:
        for rows, places, words in self.groups:
            endings = self.history.endings(places, words.shape[1] - 1)
            matches = (endings == words[:, :-1]).all(-1)
            scores[rows, words[:, -1].where(matches, self.vocabulary)] = NEVER
