"""Generation requests: prompts and completions of log-normal length, at random times."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from loadtests.load.arrivals import Phase, arrival_times
from loadtests.traffic.log_normal import LogNormal

VOCABULARY = 8192
PAD, UNKNOWN = 0, 1  # all other tokens are words
MIN_TOKENS = 8  # of a prompt or a completion
PROMPT_MEDIAN, NEW_MEDIAN = 32, 48  # tokens
SPREAD = 0.9  # standard deviation of the logarithm

_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One request.

    Attributes:
        due: seconds since the start of the load.
        ids: token ids of the prompt.
        new: number of tokens to generate. The models have no end-of-sequence token.
    """

    due: float
    ids: tuple[int, ...]
    new: int

    @property
    def text(self) -> str:
        """The prompt as text, which is tokenized to the same ids."""
        return " ".join(map(word, self.ids))


def word(token: int) -> str:
    """The text of a token: two syllables."""
    return _SYLLABLES[token // len(_SYLLABLES)] + _SYLLABLES[token % len(_SYLLABLES)]


def arrivals(rate: float, seconds: float, max_tokens: int, seed: int) -> list[GenerationRequest]:
    """Requests that arrive as a Poisson process of this rate, per second."""
    return _requests(arrival_times([Phase(rate, seconds)], seed), max_tokens, seed)


def backlog(count: int, max_tokens: int, seed: int) -> list[GenerationRequest]:
    """Requests that are all due at once."""
    return _requests([0.0] * count, max_tokens, seed)


def mean_lengths(max_tokens: int, samples: int = 4000) -> tuple[int, int]:
    """Mean tokens of a prompt and of a completion."""
    drawn = backlog(samples, max_tokens, seed=0)
    return round(sum(len(each.ids) for each in drawn) / samples), round(sum(each.new for each in drawn) / samples)


def _requests(times: Iterable[float], max_tokens: int, seed: int) -> list[GenerationRequest]:
    rng = random.Random(f"lengths {seed}")
    prompts, completions = (
        LogNormal(median, SPREAD, min=MIN_TOKENS, max=max_tokens) for median in (PROMPT_MEDIAN, NEW_MEDIAN)
    )
    requests = []
    for due in times:
        prompt, new = prompts.count(rng), completions.count(rng)
        ids = tuple(rng.randrange(UNKNOWN + 1, VOCABULARY) for _ in range(prompt))
        requests.append(GenerationRequest(due, ids, new))
    return requests
