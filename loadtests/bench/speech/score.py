"""Scores of a transcript against the words and times that are true."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

TOLERANCE_S = 0.02  # by which a segment may begin before the one before ends
_SPELLINGS = {"mr.": "mister", "-": " "}


class Segment(NamedTuple):
    """A segment of a transcript, in seconds; None where a time is missing."""

    start: float | None
    end: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Score:
    """How a transcript differs from what was said.

    Attributes:
        words: that were said.
        lost: of them, without any word in their place.
        added: words in no place of another.
        wrong: other words in their place.
        starts: seconds between a sentence and the segment that begins with it, of those that do.
        is_ordered: every segment has its times, and none begins before the one before ends.
        empty: segments without a word.
    """

    words: int
    lost: int
    added: int
    wrong: int
    starts: tuple[float, ...]
    is_ordered: bool
    empty: int

    @property
    def word_error_rate(self) -> float:
        return (self.lost + self.added + self.wrong) / self.words

    @property
    def worst_start(self) -> float:
        return max(self.starts, default=float("nan"))


def score(words: Sequence[str], starts: Sequence[tuple[int, float]], segments: Sequence[Segment]) -> Score:
    """Score a transcript.

    Args:
        words: that are true.
        starts: for each sentence the number of its first word, and its second.
        segments: of the transcript.
    """
    heard: list[str] = []
    begins: dict[int, float | None] = {}  # of a segment, by the number of its first word
    for segment in segments:
        spoken = normalized(segment.text)
        if spoken:
            begins[len(heard)] = segment.start
        heard += spoken
    pairs = aligned(words, heard)
    true_word = {mine: true for true, mine in pairs if true is not None and mine is not None}
    of_sentence = dict(starts)
    errors = [
        abs(begin - of_sentence[true_word[first]])
        for first, begin in begins.items()
        if begin is not None and true_word.get(first) in of_sentence
    ]
    return Score(
        words=len(words),
        lost=sum(mine is None for _, mine in pairs),
        added=sum(true is None for true, _ in pairs),
        wrong=sum(words[true] != heard[mine] for mine, true in true_word.items()),
        starts=tuple(errors),
        is_ordered=_is_ordered(segments),
        empty=sum(not normalized(segment.text) for segment in segments),
    )


def normalized(text: str) -> list[str]:
    """Its words in lower case, without punctuation."""
    text = text.lower()
    for written, spoken in _SPELLINGS.items():
        text = text.replace(written, spoken)
    return re.findall(r"[a-z0-9']+", text)


def aligned(left: Sequence[str], right: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Pairs of places, with the fewest insertions, deletions and substitutions (Levenshtein); None for no place."""
    costs = np.zeros((len(left) + 1, len(right) + 1), int)
    costs[:, 0], costs[0] = range(len(left) + 1), range(len(right) + 1)
    for i, mine in enumerate(left, 1):
        for j, other in enumerate(right, 1):
            costs[i, j] = min(costs[i - 1, j - 1] + (mine != other), costs[i - 1, j] + 1, costs[i, j - 1] + 1)
    pairs: list[tuple[int | None, int | None]] = []
    i, j = len(left), len(right)
    while i or j:
        if i and j and costs[i, j] == costs[i - 1, j - 1] + (left[i - 1] != right[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and costs[i, j] == costs[i - 1, j] + 1:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


def _is_ordered(segments: Sequence[Segment]) -> bool:
    if any(segment.start is None or segment.end is None for segment in segments):
        return False
    return all(
        left.end is not None and right.start is not None and right.start >= left.end - TOLERANCE_S
        for left, right in pairwise(segments)
    )
