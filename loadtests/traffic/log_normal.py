"""Log-normal sizes, as real traffic has: many small inputs and a few large ones."""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal distribution, clamped to a range.

    Attributes:
        median: of the distribution.
        spread: standard deviation of the logarithm.
        min: lower bound.
        max: upper bound.
    """

    median: float
    spread: float
    min: float
    max: float

    def sample(self, rng: random.Random) -> float:
        return min(max(rng.lognormvariate(math.log(self.median), self.spread), self.min), self.max)

    def count(self, rng: random.Random) -> int:
        """A sample as a whole number, such as of words."""
        return round(self.sample(rng))
