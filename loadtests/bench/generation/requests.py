"""What is asked of a generating model: prompts and answers of log-normal length, at random moments. No torch."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

VOCABULARY = 8192
PAD, UNKNOWN = 0, 1  # the only tokens that are no words
SHORTEST = 8  # tokens of a prompt or an answer
PROMPT_MEDIAN, PROMPT_SPREAD = 32, 0.9
NEW_MEDIAN, NEW_SPREAD = 48, 0.9  # standard deviation of the logarithm

_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request.

    Attributes:
        at_s: when it is due, in seconds since the load began.
        ids: the prompt's tokens.
        new: tokens to generate; no model here ends by itself.
    """

    at_s: float
    ids: tuple[int, ...]
    new: int

    @property
    def text(self) -> str:
        """The prompt as a text of just these tokens."""
        return " ".join(map(word, self.ids))


def word(token: int) -> str:
    """How a token is written: two syllables."""
    return _SYLLABLES[token // len(_SYLLABLES)] + _SYLLABLES[token % len(_SYLLABLES)]


def arrivals(rate: float, seconds: float, longest: int, seed: int) -> list[Wanted]:
    """Requests as many independent callers send them: a Poisson process of `rate` requests per second."""
    moments, due = [], random.Random(seed)
    at = due.expovariate(rate)
    while at < seconds:
        moments.append(at)
        at += due.expovariate(rate)
    return _at(moments, longest, seed)


def backlog(count: int, longest: int, seed: int) -> list[Wanted]:
    """Requests that are all due at once."""
    return _at([0.0] * count, longest, seed)


def mean_lengths(longest: int, samples: int = 4000) -> tuple[int, int]:
    """Mean tokens of a prompt and of an answer."""
    drawn = backlog(samples, longest, seed=0)
    return round(sum(len(each.ids) for each in drawn) / samples), round(sum(each.new for each in drawn) / samples)


def _at(moments: Sequence[float], longest: int, seed: int) -> list[Wanted]:
    draw = random.Random(f"lengths {seed}")
    made = []
    for at in moments:
        prompt, new = (
            min(max(round(draw.lognormvariate(math.log(median), spread)), SHORTEST), longest)
            for median, spread in ((PROMPT_MEDIAN, PROMPT_SPREAD), (NEW_MEDIAN, NEW_SPREAD))
        )
        made.append(Wanted(at, tuple(draw.randrange(UNKNOWN + 1, VOCABULARY) for _ in range(prompt)), new))
    return made
