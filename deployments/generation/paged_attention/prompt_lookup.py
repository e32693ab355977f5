"""PromptLookup: guesses the next tokens of a text from what followed its last tokens before.

Summaries, corrections and answers from a document repeat parts of their prompt (prompt lookup decoding, Saxena 2023).
A guess is read together with the token before it, and kept as far as the model would have written the same: the text is
that of greedy decoding, in fewer steps.
"""

from collections.abc import Sequence

NGRAMS = (3, 2)  # tokens that must have occurred before, the longest first


class PromptLookup:
    """The n-grams of one sequence, prompt included.

    Args:
        count: tokens of a guess, at most.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._ends: dict[tuple[int, ...], tuple[int, int]] = {}  # of each n-gram: where it ended last, and before that
        self._seen = 0

    def guess(self, ids: Sequence[int], at_most: int) -> list[int]:
        """The tokens that may follow.

        Args:
            ids: of the sequence; those of the last call and more.
            at_most: tokens.
        """
        for end in range(self._seen + 1, len(ids) + 1):
            for size in NGRAMS:
                if size <= end:
                    ngram = tuple(ids[end - size : end])
                    self._ends[ngram] = (end, self._ends.get(ngram, (0, 0))[0])
        self._seen = len(ids)
        for size in NGRAMS:
            _, before = self._ends.get(tuple(ids[-size:]), (0, 0))
            if before:
                return _continued(ids, before, min(self._count, at_most))
        return []


def _continued(ids: Sequence[int], start: int, count: int) -> list[int]:
    """Tokens from a place on; where they reach the end, the text goes on to repeat itself."""
    found = list(ids[start : start + count])
    period = len(found)
    while len(found) < count:
        found.append(found[len(found) - period])
    return found
